/**
 * The race at scale: on each queue 10,000 people are cut, through two `tenure api` processes over one database, while
 * both are asked about the tokens of each and for new ones (race.ts). Nothing that begins after the 2xx of a cut may be
 * good.
 *
 *   npm run bench:cut                              10,000 cuts, and as many again on the other queue
 *   npm run bench:cut -- --cuts 300                a few
 *   npm run bench:cut -- --backend redis           on one queue
 *   npm run bench:cut -- --json                    one line of JSON, and nothing on standard error
 *
 * Prints one JSON document, and exits with 1 if anything was good that must not be, or if an answer after a cut was
 * neither a yes nor a no. Times are those of a machine that asks itself: compare them within one run.
 */
import { parseArgs } from 'node:util'
import { type RaceFigures, race } from './race.ts'
import { startStores } from './stores.ts'

type Backend = 'postgres' | 'redis'

const { values: flags } = parseArgs({
  options: {
    cuts: { type: 'string', default: '10000' },
    backend: { type: 'string', default: 'both' },
    json: { type: 'boolean', default: false },
  },
})
const cuts = Number(flags.cuts)

const stores = await startStores()
const report: Record<string, RaceFigures> = {}
try {
  for (const backend of backendsOf(flags.backend)) report[backend] = await measure(backend)
} finally {
  await stores.close()
}
const holds = Object.values(report).every(({ after: { introspection, token } }) =>
  [introspection, token].every(({ asked, refused }) => asked > 0 && refused === asked),
)
const document = { node: process.version, holds, ...report }
console.log(flags.json ? JSON.stringify(document) : JSON.stringify(document, null, 2))
process.exitCode = holds ? 0 : 1

/** @throws when there is none of that name, or no program for it */
function backendsOf(given: string): readonly Backend[] {
  const there: readonly Backend[] = stores.redisUrl === undefined ? ['postgres'] : ['postgres', 'redis']
  if (given === 'both') return there
  const backend = there.find((name) => name === given)
  if (!backend) throw new Error(`There is no ${given} here, but ${there.join(' and ')}`)
  return [backend]
}

async function measure(backend: Backend): Promise<RaceFigures> {
  const redisUrl = backend === 'redis' ? stores.redisUrl : undefined
  return race(await stores.createDatabase(), { cuts, redisUrl }, (soFar) => {
    if (!flags.json && soFar % 1_000 === 0) console.error(`${backend}: ${soFar} of ${cuts}`)
  })
}
