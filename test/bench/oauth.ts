/**
 * What the authorization server and the guard answer a second, and how long one answer takes, beside a bare Express endpoint with one indexed
 * query (bare.ts) on the same Postgres, with fsync and synchronous_commit on: introspection, tokens for ID-JAGs with
 * real signatures, and calls of an Express handler behind the guard.
 *
 *   npm run bench:oauth                        1,000 and 1,000,000 grants in the ledger; 10 s for each figure
 *   npm run bench:oauth -- --seconds 30        longer
 *   npm run bench:oauth -- --grants 100000     fewer in the larger ledger
 *   npm run bench:oauth -- --quick             only to see that it runs
 *
 * Prints one JSON document. `ratio` is of requests a second, and the median of the rounds: all take turns, so that a
 * machine that slows down slows them all.
 */
import type { ChildProcess } from 'node:child_process'
import { parseArgs } from 'node:util'
import { Pool } from 'undici'
import type { Json } from '../support/clients.ts'
import { type Company, type Form, registerCompany, resource } from './company.ts'
import { startIdentityProvider } from './identity-provider.ts'
import { fillLedger, type Ledger } from './ledger.ts'
import { end, lineOf, run, settingsFor } from './processes.ts'
import { inRounds, type Side } from './rounds.ts'
import { startStores } from './stores.ts'

const { values: flags } = parseArgs({
  options: {
    grants: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '10' },
    connections: { type: 'string', default: '10' },
    quick: { type: 'boolean', default: false },
  },
})
const few = 1_000
const agents = 20
const many = flags.quick ? 20_000 : Number(flags.grants)
const rounds = flags.quick ? 3 : 20
const connections = Number(flags.connections)
const pace = { rounds, connections, seconds: (flags.quick ? 1 : Number(flags.seconds)) / rounds }

/** `tenure api` over a database of its own, and what it knows. */
interface Served {
  readonly url: string
  readonly database: { url: string; ownerUrl: string }
  readonly company: Company
  readonly ledger: Ledger
}

const children: ChildProcess[] = []
const stores = await startStores()
const idp = await startIdentityProvider()
try {
  const [small, large] = [await serve(few), await serve(many)]
  const bare = bareSide(await start('test/bench/bare.ts', [], { DATABASE_URL: large.database.url }), large)
  const { clientId, clientSecret } = large.company.server
  const guarded = await start('test/bench/guarded.ts', [large.url, resource, clientId, clientSecret], {})

  const asked = await inRounds(
    {
      bare,
      introspection: introspectionSide(large),
      introspectionOfFew: introspectionSide(small),
      guardAsking: guardSide(guarded, '/asking', large),
      guardTold: guardSide(guarded, '/told', large),
    },
    pace,
  )
  const issued = await inRounds({ bare, token: tokenSide(large), tokenOfFew: tokenSide(small) }, pace)
  const report = {
    node: process.version,
    tenure: 'tenure api, one process; no server is told anything',
    durable: await stores.durability(),
    connections,
    grants: { few, many },
    bare: asked.figures.bare,
    introspection: {
      ...asked.figures.introspection,
      ofFew: asked.figures.introspectionOfFew,
      ratio: asked.ratio('introspection', 'bare'),
      /** 1.25 at most: how much slower with many grants. */
      fewByMany: asked.ratio('introspectionOfFew', 'introspection'),
    },
    token: {
      ...issued.figures.token,
      ofFew: issued.figures.tokenOfFew,
      ratio: issued.ratio('token', 'bare'),
      fewByMany: issued.ratio('tokenOfFew', 'token'),
    },
    guard: {
      'asks Tenure at each call': { ...asked.figures.guardAsking, ratio: asked.ratio('guardAsking', 'bare') },
      'told by webhook, asks after 5 s': { ...asked.figures.guardTold, ratio: asked.ratio('guardTold', 'bare') },
    },
  }
  console.log(JSON.stringify(report, null, 2))
} finally {
  await Promise.all(children.map(end))
  idp.close()
  await stores.close()
}

async function serve(grants: number): Promise<Served> {
  const database = await stores.createDatabase()
  const settings = settingsFor(database)
  await lineOf(run('bin/tenure.js', ['migrate'], settings), ({ msg }) => msg === 'database.migrated')
  const url = await start('bin/tenure.js', ['api'], settings, ({ msg }) => msg === 'tenure.started')
  const company = await registerCompany({ url, issuer: url }, { idp })
  return { url, database, company, ledger: await fillLedger(company, database, grants) }
}

async function start(
  script: string,
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  isReady = (line: Record<string, unknown>) => typeof line.url === 'string',
): Promise<string> {
  const child = run(script, args, settings)
  children.push(child)
  return String((await lineOf(child, isReady)).url)
}

function bareSide(url: string, { ledger }: Served): Side {
  const send = sender(url)
  return {
    async call(n) {
      expectGood(await send('GET', `/grants/${ledger.id(n)}`), ({ client }) => client === 'claude')
    },
  }
}

function introspectionSide({ url, company, ledger }: Served): Side {
  const send = sender(url)
  return {
    async call(n) {
      const answer = await send('POST', '/oauth2/introspect', company.introspectionForm(ledger.token(n)))
      expectGood(answer, ({ active }) => active)
    },
  }
}

function tokenSide({ url, company, ledger }: Served): Side {
  const send = sender(url)
  const assertions: string[] = []
  const mint = (n: number) => company.mint(ledger.people[(n * 7_919) % ledger.people.length]!)
  return {
    /** So that hardly any is made while figures are taken. */
    async prepare(calls) {
      const wanted = Math.ceil(calls * 1.5) + 100
      while (assertions.length < wanted) assertions.push(await mint(assertions.length))
    },
    async call(n) {
      const assertion = assertions.pop() ?? (await mint(n))
      const answer = await send('POST', '/oauth2/token', company.tokenForm(assertion))
      expectGood(answer, ({ access_token: token }) => typeof token === 'string')
    },
  }
}

/** Each agent makes many calls with its one token. */
function guardSide(url: string, path: string, { ledger }: Served): Side {
  const send = sender(url)
  return {
    async call(n) {
      const headers = { authorization: `Bearer ${ledger.token(n % agents)}` }
      expectGood(await send('GET', path, { headers, body: '' }), ({ ok }) => ok)
    },
  }
}

function sender(url: string) {
  const pool = new Pool(url, { connections, pipelining: 1 })
  return async (method: 'GET' | 'POST', path: string, { headers, body }: Partial<Form> = {}) => {
    const answer = await pool.request({
      method,
      path,
      ...(headers ? { headers } : {}),
      ...(body ? { body } : {}),
    })
    return { status: answer.statusCode, body: (await answer.body.json()) as Json }
  }
}

/** What is fast because it refuses is no figure. */
function expectGood({ status, body }: { status: number; body: Json }, isGood: (body: Json) => unknown): void {
  if (status !== 200 || !isGood(body)) throw new Error(`answered ${status}: ${JSON.stringify(body)}`)
}
