// For `node --import`: says on standard output, as JSON lines, which packages a process loads.
import { registerHooks } from 'node:module'

const told = new Set()

registerHooks({
  load(url, context, nextLoad) {
    const name = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
    if (name && !told.has(name)) {
      told.add(name)
      process.stdout.write(`${JSON.stringify({ loaded: name })}\n`)
    }
    return nextLoad(url, context)
  },
})
