/**
 * How long a cut takes to arrive, and how many people and deliveries a second, beside the floor of raw BullMQ from the
 * same run (floor.ts). Figures are ratios within one run: absolute times say more about the machine.
 *
 *   npm run bench                       both backends, 2,000 people
 *   npm run bench -- --people 500       fewer
 *
 * Prints one JSON document. Each round runs floor and Tenure one after the other, so that a machine that slows down
 * slows both.
 */
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { quantiles, ratio } from './figures.ts'
import { adminKey, caller, end, lineOf, run, settingsFor } from './processes.ts'
import { type Receivers, startReceivers } from './receivers.ts'
import { startStores } from './stores.ts'

const { values: flags } = parseArgs({
  options: { people: { type: 'string', default: '2000' }, cuts: { type: 'string', default: '200' } },
})
const people = Number(flags.people)
const cuts = Number(flags.cuts)
const serverCount = 7

/** One system under test, Tenure or the floor: people are made, people are cut, receivers hear of it. */
interface Subject {
  create(): Promise<string>
  cut(id: string): Promise<void>
  stop(): Promise<void>
}

const stores = await startStores()
const report: Record<string, unknown> = { people, servers: serverCount, node: process.version }
try {
  for (const redisUrl of [undefined, stores.redisUrl].filter((url, index) => index === 0 || url !== undefined)) {
    const backend = redisUrl ? 'redis' : 'postgres'
    const floor = await measure((receivers) => startFloor(receivers, redisUrl))
    const tenure = await measure((receivers) => startTenure(receivers, redisUrl))
    report[backend] = {
      floor,
      tenure,
      ratio: {
        killTimeIdleP50: ratio(tenure.killTimeIdleMs.p50, floor.killTimeIdleMs.p50),
        killTimeIdleP99: ratio(tenure.killTimeIdleMs.p99, floor.killTimeIdleMs.p99),
        timeForAllDeliveries: ratio(floor.deliveriesPerSecond, tenure.deliveriesPerSecond),
      },
    }
  }
  console.log(JSON.stringify(report, null, 2))
} finally {
  await stores.close()
}

async function measure(start: (receivers: Receivers) => Promise<Subject>) {
  const receivers = await startReceivers(serverCount)
  const subject = await start(receivers)
  try {
    const early = await create(subject, cuts * 2)
    await receivers.heard(early.length * serverCount)

    const idle: number[] = []
    for (const id of early.splice(0, cuts)) idle.push(await timeCut(subject, receivers, id))

    const before = receivers.count()
    const start = performance.now()
    const loaded: number[] = []
    const onboarding = create(subject, people)
    const cutting = (async () => {
      while (early.length > 0 && receivers.count() - before < people * serverCount * 0.95)
        loaded.push(await timeCut(subject, receivers, early.pop()!))
    })()
    await onboarding
    const accepted = performance.now() - start
    await Promise.all([cutting, receivers.heard(before + (people + loaded.length) * serverCount)])
    const total = performance.now() - start
    return {
      killTimeIdleMs: quantiles(idle),
      killTimeUnderLoadMs: { ...quantiles(loaded), cuts: loaded.length },
      peopleAcceptedPerSecond: Math.round((people / accepted) * 1_000),
      peoplePerSecond: Math.round((people / total) * 1_000),
      deliveriesPerSecond: Math.round(((people * serverCount) / total) * 1_000),
    }
  } finally {
    await subject.stop()
    receivers.close()
  }
}

/** From the answer to the PATCH (the commit) to the last of the seven servers' answers. */
async function timeCut(subject: Subject, receivers: Receivers, id: string): Promise<number> {
  const told = receivers.allRevoked(id)
  await subject.cut(id)
  const committed = performance.now()
  return (await told) - committed
}

async function create(subject: Subject, count: number): Promise<string[]> {
  const ids: string[] = []
  let left = count
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (left-- > 0) ids.push(await subject.create())
    }),
  )
  return ids
}

async function startFloor(receivers: Receivers, redisUrl: string | undefined): Promise<Subject> {
  const database = await stores.createDatabase()
  const child = run('test/bench/floor.ts', receivers.urls, settingsFor(database, redisUrl))
  const { url } = await lineOf(child, (line) => typeof line.url === 'string')
  const call = caller(String(url), {})
  return {
    async create() {
      const id = randomUUID()
      await call('POST', '/people', { id, userName: `${id}@acme.example` })
      return id
    },
    cut: (id) => call('PATCH', `/people/${id}`, { active: false }),
    stop: () => end(child),
  }
}

async function startTenure(receivers: Receivers, redisUrl: string | undefined): Promise<Subject> {
  const database = await stores.createDatabase()
  const child = run('bin/tenure.js', ['start'], settingsFor(database, redisUrl))
  const { url } = await lineOf(child, (line) => line.msg === 'tenure.started')
  const admin = caller(String(url), { authorization: `Bearer ${adminKey}` })
  await admin('POST', '/admin/v1/directories', { id: 'acme', provider: 'okta' })
  const { token } = (await admin('POST', '/admin/v1/directories/acme/tokens', {})) as { token: string }
  for (const [index, receiver] of receivers.urls.entries()) {
    const id = `server-${index}`
    await admin('POST', '/admin/v1/servers', {
      id,
      name: id,
      resource: `https://${id}.example/mcp`,
      connectors: [{ type: 'webhook', url: receiver }],
    })
    await admin('PUT', `/admin/v1/rules/${id}`, { server: id, when: 'active eq true', scopes: ['read'] })
  }
  const scim = caller(`${url}/directories/acme/scim/v2`, { authorization: `Bearer ${token}` })
  return {
    async create() {
      const userName = `${randomUUID()}@acme.example`
      const user = await scim('POST', '/Users', {
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
        userName,
        name: { givenName: 'Given', familyName: 'Family' },
        emails: [{ primary: true, type: 'work', value: userName }],
        active: true,
      })
      return (user as { id: string }).id
    },
    cut: async (id) => {
      await scim('PATCH', `/Users/${id}`, {
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', value: { active: false } }],
      })
    },
    stop: () => end(child),
  }
}
