#!/usr/bin/env node
// Plain JavaScript, so that a Node too old to strip types says what it needs in one line instead of a loader error.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `tenure needs Node 22.18 or newer and this is ${process.versions.node}; run it through npm ("npm run tenure -- start"), which brings Node 24 along.`,
  )
  process.exit(1)
}
const { main } = await import('../src/main.ts')
await main(process.argv)
