/**
 * SCIM requests a second, and how long one takes, beside scimmy and scimmy-routers on the plainest Postgres store
 * (scimmy.ts): the same requests by the same client, on one Postgres with fsync and synchronous_commit on.
 *
 *   npm run bench:scim                       2,000 users, 6 s for each figure
 *   npm run bench:scim -- --seconds 20       longer
 *   npm run bench:scim -- --role start       Tenure with its workers in the same process
 *   npm run bench:scim -- --quick            only to see that it runs
 *
 * Prints one JSON document; `ratio` is Tenure's requests a second by scimmy's. The two take turns, round by round, so
 * that a machine that slows down slows both; workers that have yet to finish are waited for in between.
 */
import { parseArgs } from 'node:util'
import { patchOpSchema } from '../../src/scim/patch/parse.ts'
import { userSchema } from '../support/clients.ts'
import { ratio } from './figures.ts'
import { startStores } from './stores.ts'
import { type Role, type Subject, startScimmy, startTenure } from './subjects.ts'
import { byTurns, type Figures, type Work } from './turns.ts'

const { values: flags } = parseArgs({
  options: {
    users: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '6' },
    connections: { type: 'string', default: '10' },
    role: { type: 'string', default: 'api' },
    quick: { type: 'boolean', default: false },
  },
})
if (flags.role !== 'api' && flags.role !== 'start') throw new Error('--role is api or start')
const role: Role = flags.role
const users = flags.quick ? 200 : Number(flags.users)
const rounds = flags.quick ? 2 : 4
const connections = Number(flags.connections)
const pace = { rounds, connections, secondsEach: (flags.quick ? 1 : Number(flags.seconds)) / rounds }
const groupSizes = [10, 1_000, 50_000]
/** A larger group takes scimmy seconds for each request: then it is given one in each round, and not so much time. */
const largestTimed = 1_000
const strangersCount = 1_000

/** One of the two and what is in it. */
interface Side {
  readonly subject: Subject
  /** Of the users that SCIM has made. */
  readonly ids: string[]
}

const stores = await startStores()
try {
  const subjects = await Promise.all([startTenure(stores, role, connections), startScimmy(stores, connections)])
  const [tenure, scimmy] = subjects.map((subject): Side => ({ subject, ids: [] })) as [Side, Side]
  try {
    const compare = async (workOf: (side: Side) => Work) =>
      comparison(await byTurns({ tenure: workOf(tenure), scimmy: workOf(scimmy) }, pace))
    const operations = {
      create: await compare(create),
      get: await compare(get),
      'filter userName eq': await compare(filter),
      'list, pages of 100': await compare(list),
      'PATCH active false': await compare(deactivate),
    }
    const groups = await compareGroups([tenure, scimmy])
    console.log(
      JSON.stringify(
        {
          node: process.version,
          tenure: tenure.subject.what,
          scimmy: scimmy.subject.what,
          durable: await stores.durability(),
          connections,
          users,
          bounded: `above ${largestTimed} members scimmy gets one request in each of ${rounds} rounds, not so much time`,
          ...operations,
          ...groups,
        },
        null,
        2,
      ),
    )
  } finally {
    await Promise.all(subjects.map((subject) => subject.stop()))
  }
} finally {
  await stores.close()
}

function comparison(figures: { tenure: Figures; scimmy: Figures }) {
  return { ...figures, ratio: ratio(figures.tenure.perSecond, figures.scimmy.perSecond) }
}

function create({ subject, ids }: Side): Work {
  return {
    requests: users / rounds,
    settled: subject.settled,
    async call({ n }) {
      const user = {
        schemas: [userSchema],
        userName: userNameOf(n),
        name: { givenName: 'Given', familyName: `Family ${n}` },
        displayName: `Given Family ${n}`,
        externalId: `00u${n}`,
        emails: [{ primary: true, type: 'work', value: userNameOf(n) }],
        active: true,
      }
      ids[n] = ((await subject.scim('POST', '/Users', user)) as { id: string }).id
    },
  }
}

function get({ subject, ids }: Side): Work {
  return {
    settled: subject.settled,
    call: ({ n }) => subject.scim('GET', `/Users/${ids[scattered(n)]}`),
  }
}

function filter({ subject }: Side): Work {
  return {
    settled: subject.settled,
    async call({ n }) {
      const filter = encodeURIComponent(`userName eq "${userNameOf(scattered(n))}"`)
      requireCount(await subject.scim('GET', `/Users?filter=${filter}`), 1)
    },
  }
}

function list({ subject }: Side): Work {
  const pages = users / 100
  return {
    settled: subject.settled,
    async call({ n }) {
      requireCount(await subject.scim('GET', `/Users?startIndex=${(n % pages) * 100 + 1}&count=100`), 100)
    },
  }
}

/** Each user once: a second time would change nothing. */
function deactivate({ subject, ids }: Side): Work {
  return {
    requests: users / rounds,
    settled: subject.settled,
    call: ({ n }) => patch(subject, `/Users/${ids[n]}`, [{ op: 'replace', path: 'active', value: false }]),
  }
}

/** One group of each size for all connections, which each add somebody and take them out again. */
async function compareGroups([tenure, scimmy]: readonly [Side, Side]) {
  const mostPeople = groupSizes.at(-1)! + strangersCount
  const ours = await tenure.subject.insertPeople(mostPeople)
  const theirs = await scimmy.subject.insertPeople(mostPeople)
  const groups: Record<string, Awaited<ReturnType<typeof membership>>> = {}
  for (const size of groupSizes) {
    groups[`tenure ${size}`] = await membership(tenure.subject, ours, size)
    groups[`scimmy ${size}`] = await membership(scimmy.subject, theirs, size)
    if (size > largestTimed) Object.assign(groups[`scimmy ${size}`]!.work, { requests: 1 })
  }
  // All sizes in turn, so that what differs between them is the size.
  const figures = await byTurns(
    Object.fromEntries(Object.entries(groups).map(([name, { work }]) => [name, work])),
    pace,
  )
  const compared: Record<string, object> = {}
  for (const size of groupSizes) {
    const [ours, theirs] = [`tenure ${size}`, `scimmy ${size}`]
    compared[`group PATCH, ${size} members`] = {
      ...comparison({ tenure: figures[ours]!, scimmy: figures[theirs]! }),
      membersLost: { tenure: await groups[ours]!.lost(), scimmy: await groups[theirs]!.lost() },
    }
  }
  const flatness = (name: string) => {
    const [small, large] = [figures[`${name} ${groupSizes[0]}`]!, figures[`${name} ${groupSizes.at(-1)}`]!]
    return { perSecond: ratio(large.perSecond, small.perSecond), p50Ms: ratio(large.p50Ms, small.p50Ms) }
  }
  return { ...compared, 'group PATCH, 50000 by 10 members': { tenure: flatness('tenure'), scimmy: flatness('scimmy') } }
}

async function membership(subject: Subject, people: readonly string[], size: number) {
  const id = await subject.insertGroup(`group of ${size}`, people.slice(0, size))
  const strangers = people.slice(-strangersCount)
  const sent = new Array<number>(connections).fill(0)
  const work: Work = {
    settled: subject.settled,
    call({ lane }) {
      const turn = sent[lane]!++
      const value = strangers[(Math.floor(turn / 2) * connections + lane) % strangersCount]
      return patch(subject, `/Groups/${id}`, [
        turn % 2 === 0
          ? { op: 'add', path: 'members', value: [{ value }] }
          : { op: 'remove', path: `members[value eq "${value}"]` },
      ])
    },
  }
  return {
    work,
    /** How far the group is from what the answers said. */
    async lost() {
      const added = sent.filter((turns) => turns % 2 === 1).length
      return Math.abs(size + added - (await subject.membersOf(id)))
    },
  }
}

function patch(subject: Subject, path: string, operations: readonly object[]): Promise<unknown> {
  return subject.scim('PATCH', path, { schemas: [patchOpSchema], Operations: operations })
}

function requireCount(answer: { Resources: unknown[] }, count: number): void {
  if (answer.Resources.length !== count)
    throw new Error(`${count} resources were expected, not ${answer.Resources.length}`)
}

function userNameOf(n: number): string {
  return `user-${n}@acme.example`
}

/** Another user each time, in no order that an index or a cache could like. */
function scattered(n: number): number {
  return (n * 7_919) % users
}
