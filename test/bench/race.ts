import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import { Pool } from 'undici'
import { type Json, patchSchema } from '../support/clients.ts'
import type { Person } from '../support/people.ts'
import { type Company, type Form, registerCompany } from './company.ts'
import { quantiles } from './figures.ts'
import { type IdentityProvider, startIdentityProvider } from './identity-provider.ts'
import { adminKey, end, lineOf, run, settingsFor } from './processes.ts'

const kinds = ['deactivation', 'operatorCut', 'groupRemoval'] as const
type Kind = (typeof kinds)[number]
const questions = ['introspection', 'token'] as const
type Question = (typeof questions)[number]

/** How often it was asked, and what the answers were: the gate's yes, its no, or neither of the two. */
export interface Answers {
  asked: number
  good: number
  refused: number
  other: number
}

export interface RaceFigures {
  readonly cuts: Readonly<Record<Kind, number>>
  /** Asked before the 2xx of the cut was there, whenever answered. */
  readonly before: Readonly<Record<Question, Answers>>
  /** Begun when it was. */
  readonly after: Readonly<Record<Question, Answers>>
  /** From the request to its 2xx, by what cut. */
  readonly ms: Readonly<Record<Kind, { p50: number; p99: number }>>
  readonly seconds: number
  readonly cutsPerSecond: number
  readonly requestsPerSecond: number
}

/** People who are cut at the same time; about each, two questions are under way meanwhile. */
const atOnce = 8
/** About each person, begun once the cut is answered: one for each process, and one for either. */
const askedAfter: Readonly<Record<Question, number>> = { introspection: 2, token: 1 }
const groupSize = 100
/** Of both processes. */
const issuer = 'https://tenure.example'

interface Subject {
  readonly person: Person
  readonly group: string
  readonly kind: Kind
  readonly tokens: string[]
  /** In whole seconds, before the cut. */
  readonly since: number
  isCut: boolean
}

interface Parts {
  readonly company: Company
  /** To each `tenure api`. */
  readonly apis: readonly Pool[]
}

/**
 * Cuts people one after the other, several at once, through two `tenure api` processes in turn, while both are asked
 * about the tokens of each and for new ones: without a pause, from before the cut until enough was asked after it. A
 * `tenure worker` has its share of the work on the same database.
 *
 * Before and after is what this process knows: a request begins after the cut if it is sent when the head of the cut's
 * 2xx has been read.
 */
export async function race(
  database: { url: string; ownerUrl: string },
  { cuts, redisUrl }: { cuts: number; redisUrl: string | undefined },
  note: (cutSoFar: number) => void = () => {},
): Promise<RaceFigures> {
  const receiver = createServer((req, res) => req.resume().once('end', () => res.end()))
  await once(receiver.listen(0, '127.0.0.1'), 'listening')
  const idp = await startIdentityProvider()
  const settings = { ...settingsFor(database, redisUrl), PUBLIC_URL: issuer }
  await lineOf(run('bin/tenure.js', ['migrate'], settings), ({ msg }) => msg === 'database.migrated')
  const children = ['api', 'api', 'worker'].map((role) => run('bin/tenure.js', [role], settings))
  const pools: Pool[] = []
  try {
    const started = await Promise.all(children.map((child) => lineOf(child, ({ msg }) => msg === 'tenure.started')))
    const urls = started.slice(0, 2).map(({ url }) => String(url))
    pools.push(...urls.map((url) => new Pool(url, { connections: 3 * atOnce, pipelining: 1 })))
    const { port } = receiver.address() as AddressInfo
    const webhook = { type: 'webhook', url: `http://127.0.0.1:${port}/` }
    const company = await registerCompany({ url: urls[0]!, issuer }, { idp, connectors: [webhook] })
    return await cutAll({ company, apis: pools }, await hire(company, database.url, cuts), note)
  } finally {
    await Promise.all([...pools.map((pool) => pool.close()), ...children.map(end)])
    close(idp, receiver)
  }
}

/** In groups of their own, so that whoever is taken out of one waits for few others. */
async function hire(company: Company, url: string, count: number): Promise<Subject[]> {
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  const subjects: Subject[] = []
  while (subjects.length < count) {
    const size = Math.min(groupSize, count - subjects.length)
    const { group, people } = await company.hire(sql, `group-${subjects.length}`, size)
    for (const person of people) {
      const kind = kindOf(subjects.length)
      subjects.push({ person, group, kind, tokens: [], since: Math.floor(Date.now() / 1_000), isCut: false })
    }
  }
  await sql.end()
  return subjects
}

/** Eight of ten leave; of the others an operator cuts the one, and the other goes out of the group. */
function kindOf(index: number): Kind {
  return index % 10 === 8 ? 'operatorCut' : index % 10 === 9 ? 'groupRemoval' : 'deactivation'
}

async function cutAll(parts: Parts, subjects: readonly Subject[], note: (cutSoFar: number) => void) {
  const tally = new Tally()
  const left = subjects.entries()
  const begun = performance.now()
  const lane = async () => {
    for (const [index, subject] of left) {
      await cutOne(parts, subject, index, tally)
      note(index + 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  return tally.figures((performance.now() - begun) / 1_000)
}

async function cutOne(parts: Parts, subject: Subject, index: number, tally: Tally): Promise<void> {
  const ask = (question: Question, turn: number) =>
    question === 'token' ? askForToken(parts, subject, turn, tally) : introspect(parts, subject, turn, tally)
  const askOnAndOn = async (question: Question, first: number): Promise<void> => {
    for (let after = 0, turn = first; after < askedAfter[question]; turn++) {
      if (subject.isCut) after++
      await ask(question, turn)
    }
  }
  await ask('token', index)
  const asking = [askOnAndOn('introspection', index), askOnAndOn('token', index + 1)]
  const begun = performance.now()
  await cut(parts, subject, index).finally(() => {
    subject.isCut = true
  })
  tally.noteCut(subject.kind, performance.now() - begun)
  await Promise.all(asking)
  // Those that were issued while the cut was under way.
  await Promise.all(subject.tokens.slice(1).map((token, turn) => introspect(parts, subject, turn, tally, token)))
}

async function cut({ apis, company }: Parts, subject: Subject, turn: number): Promise<void> {
  const { path, method, body, isOperators } = cutRequestOf(subject)
  const headers = {
    authorization: `Bearer ${isOperators ? adminKey : company.scimToken}`,
    'content-type': 'application/json',
  }
  const answer = await apis[turn % apis.length]!.request({ method, path, headers, body: JSON.stringify(body) })
  if (answer.statusCode >= 300) throw new Error(`${method} ${path} answered ${answer.statusCode}`)
  // The head is here, and that is when the cut is answered.
  void answer.body.dump()
}

function cutRequestOf({ kind, person, group }: Subject) {
  if (kind === 'operatorCut')
    return { method: 'POST', path: `/admin/v1/users/${person.id}/cut`, body: {}, isOperators: true } as const
  const [path, operation] =
    kind === 'groupRemoval'
      ? [`Groups/${group}`, { op: 'remove', path: `members[value eq "${person.id}"]` }]
      : [`Users/${person.id}`, { op: 'replace', value: { active: false } }]
  const body = { schemas: [patchSchema], Operations: [operation] }
  return { method: 'PATCH', path: `/directories/acme/scim/v2/${path}`, body, isOperators: false } as const
}

async function introspect(
  { apis, company }: Parts,
  subject: Subject,
  turn: number,
  tally: Tally,
  token = subject.tokens.at(-1)!,
): Promise<void> {
  const { isCut } = subject
  const { status, body } = await post(apis[turn % apis.length]!, '/oauth2/introspect', company.introspectionForm(token))
  const isNo = status === 200 && body.active === false
  tally.note('introspection', isCut, body.active === true ? 'good' : isNo ? 'refused' : 'other')
}

/** Whoever is cut by an operator stays entitled, and signing in anew is good: not so an ID-JAG from before. */
async function askForToken({ apis, company }: Parts, subject: Subject, turn: number, tally: Tally): Promise<void> {
  const { kind, person, since } = subject
  const assertion = await company.mint(person, ...(kind === 'operatorCut' ? [{ iat: since }] : []))
  const { isCut } = subject
  const { status, body } = await post(apis[turn % apis.length]!, '/oauth2/token', company.tokenForm(assertion))
  const isNo = status === 400 && body.error === 'invalid_grant'
  tally.note('token', isCut, status === 200 ? 'good' : isNo ? 'refused' : 'other')
  if (status === 200) subject.tokens.push(body.access_token)
}

async function post(api: Pool, path: string, form: Form): Promise<{ status: number; body: Json }> {
  const answer = await api.request({ method: 'POST', path, ...form })
  return { status: answer.statusCode, body: await answer.body.json() }
}

class Tally {
  readonly #ms: Record<Kind, number[]> = { deactivation: [], operatorCut: [], groupRemoval: [] }
  readonly #before = noAnswers()
  readonly #after = noAnswers()

  noteCut(kind: Kind, ms: number): void {
    this.#ms[kind].push(ms)
  }

  note(question: Question, isCut: boolean, answer: Exclude<keyof Answers, 'asked'>): void {
    const answers = (isCut ? this.#after : this.#before)[question]
    answers.asked++
    answers[answer]++
  }

  figures(seconds: number): RaceFigures {
    const byKind = <T>(of: (ms: readonly number[]) => T) =>
      Object.fromEntries(kinds.map((kind) => [kind, of(this.#ms[kind])])) as Record<Kind, T>
    const cuts = byKind((ms) => ms.length)
    const cutsInAll = Object.values(cuts).reduce((sum, count) => sum + count, 0)
    const asked = [this.#before, this.#after].flatMap((each) => questions.map((question) => each[question].asked))
    return {
      cuts,
      before: this.#before,
      after: this.#after,
      ms: byKind(quantiles),
      seconds: Math.round(seconds * 10) / 10,
      cutsPerSecond: Math.round(cutsInAll / seconds),
      requestsPerSecond: Math.round(asked.reduce((sum, count) => sum + count, cutsInAll) / seconds),
    }
  }
}

function noAnswers(): Record<Question, Answers> {
  const none = () => ({ asked: 0, good: 0, refused: 0, other: 0 })
  return { introspection: none(), token: none() }
}

function close(...parts: Array<Pick<IdentityProvider, 'close'>>): void {
  for (const part of parts) part.close()
}
