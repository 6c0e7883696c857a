import { Agent, request } from 'node:http'
import { connect as connectSocket } from 'node:net'
import { gzipSync } from 'node:zlib'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, patchSchema, type ScimClient, userSchema } from '../support/clients.ts'
import { type HostileRequest, HostileRequests, type Targets } from '../support/hostile-requests.ts'
import { forEach } from '../support/people.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'
import { createRandom } from '../support/random.ts'
import { type RunningTenure, registerDirectory, runTenure, spawnTenure } from '../support/tenure.ts'

/** The same every time, unless another is asked for. */
const seed = Number(process.env.TEST_SEED ?? 20_261_123)
const requests = Number(process.env.FUZZ_REQUESTS ?? 1_500)
const errorSchema = 'urn:ietf:params:scim:api:messages:2.0:Error'
const scimTypes = new Set([
  ...[
    'invalidFilter',
    'tooMany',
    'uniqueness',
    'mutability',
    'invalidSyntax',
    'invalidPath',
    'noTarget',
    'invalidValue',
  ],
  ...['invalidVers', 'sensitive', 'invalidCursor', 'expiredCursor', 'invalidCount'],
])

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

let database: TestDatabase
let rows: pg.Client
let tenure: RunningTenure
let successors = 0
const agent = new Agent({ keepAlive: true })

beforeAll(async () => {
  database = await createDatabase()
  rows = await connect({ url: database.ownerUrl })
  tenure = await runTenure('api', database)
})
afterAll(async () => {
  agent.destroy()
  await rows?.end()
  await tenure?.close()
  await database?.drop()
})

function send(scim: ScimClient, { method, path, headers, body }: HostileRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const url = new URL(scim.base)
    const length = body ? { 'content-length': String(body.length) } : {}
    const options = {
      agent,
      host: url.hostname,
      port: url.port,
      path: url.pathname + path,
      method,
      headers: { authorization: `Bearer ${scim.token}`, ...length, ...headers },
    }
    const asked = request(options, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk) => chunks.push(chunk))
      res.once('error', reject)
      res.once('end', () =>
        resolve({ status: res.statusCode!, headers: res.headers, text: Buffer.concat(chunks).toString() }),
      )
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

/** Everything that a SCIM write may change. */
async function written(): Promise<string> {
  const tables = [
    'scim_user',
    'scim_group',
    'group_user',
    'group_nesting',
    'user_state',
    'lifecycle_event',
    'ledger_entry',
  ]
  const digest = (table: string) =>
    `(select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from ${table} t)`
  const { rows: found } = await rows.query(`select ${tables.map(digest).join(" || ' ' || ")} as state`)
  return found[0].state
}

function expectRefusal({ status, headers, text }: Answer, what: string, accept = '*/*'): void {
  const type = accept === 'application/json' ? accept : 'application/scim+json'
  expect(headers['content-type'], what).toBe(`${type}; charset=utf-8`)
  if (text === '') return
  const body = JSON.parse(text)
  expect(body, what).toEqual({
    schemas: [errorSchema],
    status: String(status),
    detail: expect.stringMatching(/./),
    ...(body.scimType === undefined ? {} : { scimType: body.scimType }),
  })
  if (body.scimType !== undefined) expect(scimTypes, what).toContain(body.scimType)
}

/** One of a bulk request that was done. */
function didSomething({ status, text }: Answer): boolean {
  if (status >= 400) return false
  if (!text.includes('BulkResponse')) return true
  return JSON.parse(text).Operations.some((each: { status: string }) => Number(each.status) < 400)
}

const idOf = ({ id }: { id: string }) => id

/** Whoever is gone gets a successor, or in the end all that is asked for would be nobody. */
async function replace(scim: ScimClient, { users, groups }: { users: string[]; groups: string[] }, path: string) {
  const gone = path.toLowerCase().split(/[/?]/)[2] ?? ''
  const ids = [users, groups].find((some) => some.includes(gone))
  if (!ids || (await scim.send('GET', `/${ids === users ? 'Users' : 'Groups'}/${gone}`)).status !== 404) return false
  const name = `successor-${successors++}@x.example`
  const made = ids === users ? await scim.createUser(name) : await scim.createGroup(name)
  ids[ids.indexOf(gone)] = made.id
  return true
}

const own = (object: object) => Reflect.ownKeys(object).map(String).toSorted()

describe(`${requests} requests that nobody should send (TEST_SEED=${seed}, FUZZ_REQUESTS=${requests})`, () => {
  it.each(['okta', 'entra', 'generic'])(
    'are answered by SCIM and do all or nothing: a directory of %s',
    { timeout: 180_000 },
    async (provider) => {
      const scim = await registerDirectory(tenure.admin, `fuzz-${provider}`, provider)
      const hostile = new HostileRequests(createRandom(seed + provider.length))
      const people = await Promise.all(['a', 'b', 'c'].map((name) => scim.createUser(`${name}@x.example`)))
      const teams = [await scim.createGroup('One', [people[0].id]), await scim.createGroup('Two')]
      const targets = { users: people.map(idOf), groups: teams.map(idOf) } satisfies Targets
      const machinery = [Object.prototype, Array.prototype, Function.prototype, String.prototype].map(own)
      const counts = { done: 0, refused: 0 }
      let before = await written()
      for (let made = 0; made < requests / 3; made++) {
        const asked = hostile.next(targets)
        const answer = await send(scim, asked)
        const what = `${asked.method} ${asked.path} ${JSON.stringify(asked.headers)} ${asked.body?.toString('latin1').slice(0, 2_000)} → ${answer.status} ${answer.text.slice(0, 500)}`
        // What the RFC has a name for and Tenure has not (§3.11) is no mishap.
        const isMe = /^\/me(\/|$)/i.test(asked.path)
        if (!(isMe && answer.status === 501)) expect(answer.status, what).toBeLessThan(500)
        if (answer.status >= 400) expectRefusal(answer, what, asked.headers.accept)
        else expect(() => answer.text === '' || JSON.parse(answer.text), what).not.toThrow()
        const after = await written()
        if (asked.method === 'GET' || asked.method === 'HEAD' || !didSomething(answer))
          expect(after === before, what).toBe(true)
        counts[answer.status < 400 ? 'done' : 'refused'] += 1
        before = answer.status === 204 && (await replace(scim, targets, asked.path)) ? await written() : after
      }
      expect([Object.prototype, Array.prototype, Function.prototype, String.prototype].map(own)).toEqual(machinery)
      expect(({} as Record<string, unknown>).polluted).toBeUndefined()
      // Neither refuses everything at the door nor takes everything.
      expect(counts.done).toBeGreaterThan(requests / 30)
      expect(counts.refused).toBeGreaterThan(requests / 30)
      const failures = tenure.log.filter(
        ({ msg, error }) => msg === 'request.failed' && (error as { code?: string }).code !== 'ERR_SCIM',
      )
      expect(failures).toEqual([])
    },
  )
})

describe('what is hardly HTTP', () => {
  const body = (userName: string) => JSON.stringify({ schemas: [userSchema], userName })

  /** What comes back to these bytes, until the server or we have nothing more to say. */
  function exchange(bytes: string | Buffer, { halfClose = true } = {}): Promise<string> {
    const { hostname, port } = new URL(tenure.url)
    return new Promise((resolve) => {
      let text = ''
      const socket = connectSocket({ host: hostname, port: Number(port), allowHalfOpen: true })
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('error', () => {})
      socket.once('end', () => socket.end())
      socket.once('close', () => resolve(text))
      socket.write(bytes, () => halfClose && socket.end())
    })
  }

  it.each<[string, (head: string, name: string) => string | Buffer]>([
    [
      'two lengths',
      (head, name) => `${head}Content-Length: 5\r\nContent-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a length and chunks',
      (head, name) =>
        `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n${body(name).length.toString(16)}\r\n${body(name)}\r\n0\r\n\r\n`,
    ],
    ['a negative length', (head, name) => `${head}Content-Length: -1\r\n\r\n${body(name)}`],
    ['a length in words', (head, name) => `${head}Content-Length: all\r\n\r\n${body(name)}`],
    ['a length without end', (head, name) => `${head}Content-Length: ${'9'.repeat(40)}\r\n\r\n${body(name)}`],
    [
      'more announced than comes',
      (head, name) => `${head}Content-Length: ${body(name).length + 9}\r\n\r\n${body(name)}`,
    ],
    ['less announced than comes', (head, name) => `${head}Content-Length: 9\r\n\r\n${body(name)}`],
    ['chunks of no size', (head, name) => `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body(name)}\r\n0\r\n\r\n`],
    [
      'chunks that stop',
      (head, name) => `${head}Transfer-Encoding: chunked\r\n\r\n${body(name).length.toString(16)}\r\n${body(name)}\r\n`,
    ],
    ['an unknown transfer', (head, name) => `${head}Transfer-Encoding: klingon\r\n\r\n${body(name)}`],
    [
      'headers without end',
      (head, name) =>
        `${head}X-Long: ${'x'.repeat(200_000)}\r\nContent-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a thousand headers',
      (head, name) =>
        `${head}${'X-Many: 1\r\n'.repeat(20_000)}Content-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a NUL in a header',
      (head, name) => `${head}X-Odd: a\0b\r\nContent-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a header that is none',
      (head, name) => `${head}no colon\r\nContent-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a version that there is not',
      (head, name) =>
        `${head.replace('HTTP/1.1', 'HTTP/7.7')}Content-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'no host',
      (head, name) => `${head.replace(/Host: .*\r\n/, '')}Content-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    [
      'a method that there is not',
      (head, name) => `${head.replace('POST', 'STEAL')}Content-Length: ${body(name).length}\r\n\r\n${body(name)}`,
    ],
    ['noise', () => Buffer.from(Array.from({ length: 4_000 }, (_, at) => (at * 7_919) % 256))],
  ])('%s: refused or hung up on, and nothing is done', async (what, bytes) => {
    const id = `raw-${what.replaceAll(' ', '-')}`.slice(0, 40).toLowerCase()
    const scim = await registerDirectory(tenure.admin, id)
    const { pathname, host } = new URL(scim.base)
    const head = `POST ${pathname}/Users HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${scim.token}\r\nContent-Type: application/scim+json\r\n`
    const before = await written()
    const answer = await exchange(bytes(head, 'smuggled@x.example'))
    if (answer !== '') expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(await written()).toBe(before)
    expect((await scim.call('GET', '/Users')).totalResults).toBe(0)
  })

  it('takes a filter as long as may be, in any alphabet, and refuses a longer one by name', async () => {
    const scim = await registerDirectory(tenure.admin, 'long')
    const ask = (length: number) => {
      const filter = `title eq "${'名'.repeat(length - 'title eq ""'.length)}"`
      return scim.send('GET', `/Users?${new URLSearchParams({ filter })}`)
    }
    expect((await ask(4_096)).body).toMatchObject({ totalResults: 0 })
    expect((await ask(4_097)).body).toMatchObject({ status: '400', scimType: 'invalidFilter' })
  })

  it('keeps no text that is not UTF-8', async () => {
    const scim = await registerDirectory(tenure.admin, 'bytes')
    const post = (name: Buffer) => {
      const headers = { 'content-type': 'application/scim+json' }
      const [before, after] = body('*').split('*') as [string, string]
      return send(scim, {
        method: 'POST',
        path: '/Users',
        headers,
        body: Buffer.concat([Buffer.from(before), name, Buffer.from(after)]),
      })
    }
    for (const name of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe9]]) {
      const answer = await post(Buffer.from(name))
      expect(JSON.parse(answer.text)).toMatchObject({ status: '400', scimType: 'invalidSyntax' })
    }
    expect((await post(Buffer.from('é'))).status).toBe(201)
    expect((await scim.call('GET', '/Users')).totalResults).toBe(1)
  })
})

describe('a flood of bodies of 10 MiB', () => {
  const largest = 10 * 1024 * 1024
  const mebibyte = 1024 * 1024
  const filled = (before: string, part: string, after: string, most = Number.POSITIVE_INFINITY) => {
    const times = Math.min(most, Math.floor((largest - before.length - after.length) / part.length))
    return before + part.repeat(times).replace(/,$/, '') + after
  }
  const user = `{"schemas":["${userSchema}"],"userName":`
  const group = `{"schemas":["${groupSchema}"],"displayName":"g","members":[`
  const patch = `{"schemas":["${patchSchema}"],"Operations":[`
  const search = '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":['

  /** Some are stopped before they are parsed, some are as large as is parsed. */
  const floods: [string, string, () => string | Buffer][] = [
    ['POST', '/Users', () => filled(`${user}"flood","emails":[`, '{},', ']}')],
    ['POST', '/Users', () => filled(`${user}"flood","emails":[`, '{},', ']}', 290_000)],
    ['POST', '/Users', () => filled(`${user}"`, 'x', '"}')],
    ['POST', '/Users', () => `{${Array.from({ length: 700_000 }, (_, at) => `"k${at}":1`).join(',')}}`],
    ['POST', '/Users', () => filled('{"a":', '[', '')],
    ['POST', '/Groups', () => filled(group, '{"value":"x","display":"A B","type":"User"},', ']}', 110_000)],
    ['PATCH', '/Users/*', () => filled(patch, '{"op":"add","path":"title","value":"x"},', ']}', 140_000)],
    ['PATCH', '/Groups/*', () => filled(patch, '{"op":"remove","path":"members[value eq \\"x\\"]"},', '{}]}', 190_000)],
    ['POST', '/.search', () => filled(search, '"a",', ']}', 590_000)],
    ['POST', '/Users', () => gzipSync(Buffer.alloc(200 * mebibyte, '[1],'))],
  ]

  it('is refused in bounded memory, which does not grow with more of it', { timeout: 180_000 }, async () => {
    const { admin, process: child } = await spawnTenure('api', database)
    const scim = (await registerDirectory(admin, 'flooded')).at(admin.url)
    const one = await scim.createUser('flooded@x.example')
    const team = await scim.createGroup('Flooded')
    const resident = async () => {
      const text = await (await fetch(`${admin.url}/metrics`)).text()
      return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)![1]) / mebibyte
    }
    const before = await written()
    const atFirst = await resident()
    const peaks: number[] = []
    for (let round = 0; round < 2; round++) {
      let peak = 0
      for (const [method, path, make] of floods) {
        const body = Buffer.from(make())
        const headers = {
          'content-type': 'application/scim+json',
          ...(body.length < mebibyte ? { 'content-encoding': 'gzip' } : {}),
        }
        const asked = { method, path: path.replace('*', path.startsWith('/Users') ? one.id : team.id), headers, body }
        await forEach(Array.from({ length: 4 }), 4, async () => {
          const answer = await send(scim, asked)
          const what = `${method} ${path}: ${answer.status} ${answer.text.slice(0, 200)}`
          expectRefusal(answer, what)
          // A slow machine with so much in hand may not get to its database in time, and says so.
          if (answer.status === 503) expect(answer.headers['retry-after'], what).toMatch(/^[1-9]/)
          else expect(answer.status, what).toBeLessThan(500)
          expect(answer.status, what).toBeGreaterThanOrEqual(400)
          peak = Math.max(peak, await resident())
        })
      }
      peaks.push(peak)
    }
    expect(await written()).toBe(before)
    expect(peaks[0]! - atFirst, `MiB: ${atFirst}, ${peaks.join(', ')}`).toBeLessThan(900)
    expect(peaks[1]!, `MiB: ${atFirst}, ${peaks.join(', ')}`).toBeLessThan(peaks[0]! + 300)
    await child.kill('SIGTERM')
  })
})
