import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { groupSchema, patchSchema, userSchema } from './clients.ts'
import type { Random } from './random.ts'

/** A request under the SCIM base, as bytes. */
export interface HostileRequest {
  readonly method: string
  /** Behind the base, with the query. */
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: Buffer | undefined
}

/** Ids that are there, so that not everything is refused for the wrong address. */
export interface Targets {
  readonly users: readonly string[]
  readonly groups: readonly string[]
}

const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const bulkSchema = 'urn:ietf:params:scim:api:messages:2.0:BulkRequest'
const searchSchema = 'urn:ietf:params:scim:api:messages:2.0:SearchRequest'

/** Written in place of these, in JSON: what `JSON.stringify` would not write. */
const raw: Record<string, string> = {
  '<deep list>': `${'['.repeat(70)}${']'.repeat(70)}`,
  '<deep object>': `${'{"a":'.repeat(70)}1${'}'.repeat(70)}`,
  '<huge number>': '1e400',
  '<minus nothing>': '-0',
  '<precise>': '12345678901234567890.123456789',
  '<surrogate>': '"\\ud800"',
  '<escaped nul>': '"a\\u0000b"',
  '<prototype>': '{"__proto__":{"polluted":true}}',
  '<constructor>': '{"constructor":{"prototype":{"polluted":true}}}',
}

const odd: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1.5, 2 ** 53, '', ' ', '\n', '"', '\\', '%', '\u{1F600}', '\u202e', '\ufeff', 'True'],
  ...[[], [[]], [null], {}, { value: {} }, [{}], { a: { b: { c: [] } } }, ['a', 1, null], 'x'.repeat(3_000)],
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'bulkId:1',
    'bulkId:',
    '../../admin/v1/keys',
  ],
  ...['00000000-0000-4000-8000-000000000000', userSchema, groupSchema, enterprise, 'urn:x', 'urn:', 'urn:x:y', '$ref'],
  ...['é'.repeat(2_000), '9999-99-99T99:99:99Z', "'; drop table scim_user; --", '{"value":'],
]
const names = [
  ...[
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'valueOf',
    '',
    ' ',
    'ID',
    'Schemas',
    'meta',
    'groups',
    'password',
  ],
  ...[
    'userName',
    'members',
    'emails[type eq "work"].value',
    'emails[',
    'name.givenName',
    'a.b.c',
    'x',
    'é',
    '\0',
    '\ud800',
  ],
  ...[enterprise, enterprise.toUpperCase(), `${enterprise}:manager`, `${userSchema}:userName`, 'urn:x:y', 'urn:x:y:z'],
]
const filterParts = [
  ...[
    'userName',
    'emails',
    'emails[',
    ']',
    '(',
    ')',
    'not',
    'and',
    'or',
    'eq',
    'ne',
    'co',
    'sw',
    'ew',
    'gt',
    'pr',
    'xx',
  ],
  ...[
    '"a"',
    '"',
    "'a'",
    'null',
    'true',
    '1',
    '1e999',
    'meta.created',
    '"2026-01-01"',
    '.value',
    'urn:',
    `${enterprise}:`,
  ],
  ...[
    '\\',
    '%',
    '\0',
    '\ud83d',
    '$ref',
    '__proto__',
    'members.value',
    'groups',
    'password',
    'id',
    'schemas',
    ',',
    ';--',
  ],
]
const filters = [
  'userName eq "fuzz-1@x.example"',
  'emails[type eq "work"].value eq "a@x.example"',
  'externalId eq "x" or (active eq true and not (title co "a"))',
  'meta.lastModified gt "2026-01-01T00:00:00Z"',
  `${enterprise}:manager.value eq "m"`,
  'displayName eq "Fuzz"',
]

/** Requests that identity providers send, each damaged in some places, and some that nobody sends. */
export class HostileRequests {
  readonly #random: Random
  #made = 0

  constructor(random: Random) {
    this.#random = random
  }

  next(targets: Targets): HostileRequest {
    const make = this.#random.pick([
      ...Array.from({ length: 8 }, () => () => this.#write(targets)),
      ...Array.from({ length: 3 }, () => () => this.#query(targets)),
      () => this.#address(targets),
    ])
    const made = make()
    return this.#often(4) ? { ...made, headers: { ...made.headers, ...this.#header() } } : made
  }

  #often(oneIn: number): boolean {
    return this.#random.between(1, oneIn) === 1
  }

  #write(targets: Targets): HostileRequest {
    const { method, path, body } = this.#random.pick(this.#valid(targets))
    const damaged = this.#often(12)
      ? this.#anything(4)
      : this.#damage(structuredClone(body), this.#random.between(0, 3))
    return { method, path, ...this.#encoded(this.#asText(damaged)) }
  }

  #valid({ users, groups }: Targets): { method: string; path: string; body: unknown }[] {
    const n = this.#made++
    const [user, group] = [this.#random.pick(users), this.#random.pick(groups)]
    const okta = {
      schemas: [userSchema],
      userName: `fuzz-${n}@x.example`,
      name: { givenName: 'F', familyName: 'Z' },
      emails: [{ primary: true, value: `fuzz-${n}@x.example`, type: 'work' }],
      displayName: 'F Z',
      externalId: `00u${n}`,
      groups: [],
      password: 'n0t-kept',
      active: true,
    }
    const entra = {
      ...okta,
      schemas: [userSchema, enterprise],
      active: 'True',
      addresses: [{ type: 'work', locality: 'Oslo', primary: false }],
      roles: [{ value: '{"id":"1","value":"Admin","displayName":"Admin"}' }],
      [enterprise]: { employeeNumber: '7', manager: { value: user } },
    }
    const patch = (...Operations: unknown[]) => ({ schemas: [patchSchema], Operations })
    const users_ = `/Users/${user}`
    const groups_ = `/Groups/${group}`
    return [
      { method: 'POST', path: '/Users', body: okta },
      { method: 'POST', path: '/Users', body: entra },
      { method: 'PUT', path: users_, body: entra },
      {
        method: 'POST',
        path: '/Groups',
        body: { schemas: [groupSchema], displayName: `Fuzz ${n}`, members: [{ value: user }] },
      },
      {
        method: 'PUT',
        path: groups_,
        body: { schemas: [groupSchema], displayName: `Put ${n}`, members: [{ value: user, display: 'x' }] },
      },
      { method: 'PATCH', path: users_, body: patch({ op: 'replace', value: { active: this.#often(2) } }) },
      {
        method: 'PATCH',
        path: users_,
        body: patch(
          { op: 'Replace', path: 'emails[type eq "work"].value', value: `new-${n}@x.example` },
          { op: 'Add', path: `${enterprise}:manager`, value: user },
          { op: 'Add', value: { 'name.givenName': 'N', [`${enterprise}:department`]: 'D', nickName: '' } },
        ),
      },
      {
        method: 'PATCH',
        path: groups_,
        body: patch({ op: 'Add', path: 'members', value: [{ $ref: null, value: user }] }),
      },
      { method: 'PATCH', path: groups_, body: patch({ op: 'remove', path: `members[value eq "${user}"]` }) },
      {
        method: 'PATCH',
        path: groups_,
        body: patch({ op: 'replace', value: { id: group, displayName: `Name ${n}` } }),
      },
      {
        method: 'PATCH',
        path: groups_,
        body: patch({ op: 'add', path: 'members', value: [{ value: this.#random.pick(groups) }] }),
      },
      {
        method: 'POST',
        path: '/Bulk',
        body: {
          schemas: [bulkSchema],
          failOnErrors: 1,
          Operations: [
            { method: 'POST', path: '/Users', bulkId: 'u', data: okta },
            {
              method: 'PATCH',
              path: groups_,
              data: patch({ op: 'add', path: 'members', value: [{ value: 'bulkId:u' }] }),
            },
          ],
        },
      },
      {
        method: 'POST',
        path: this.#random.pick(['/Users/.search', '/Groups/.search', '/.search']),
        body: {
          schemas: [searchSchema],
          filter: this.#random.pick(filters),
          attributes: ['userName'],
          startIndex: 1,
          count: 3,
        },
      },
      { method: 'DELETE', path: this.#often(8) ? users_ : `/Users/${n}`, body: {} },
    ]
  }

  /** A value somewhere in it replaced, taken away, doubled, wrapped or put under another name, `times` over. */
  #damage(body: unknown, times: number): unknown {
    const whole = { body }
    for (let time = 0; time < times; time++) {
      const places = placesIn(whole)
      if (places.length === 0) break
      const [container, key] = this.#random.pick(places)
      const value = structuredClone(container[key])
      this.#random.pick([
        () => set(container, key, this.#odd()),
        () => set(container, key, this.#odd()),
        () => set(container, key, [value]),
        () => set(container, key, { value }),
        () => set(container, key, [value, structuredClone(value)]),
        () => void (Array.isArray(container) ? container.splice(Number(key), 1) : delete container[key]),
        () => set(container, this.#random.pick(names), value),
        () => set(container, key, typeof value === 'string' ? this.#scramble(value) : this.#anything(2)),
      ])()
    }
    return whole.body
  }

  #odd(): unknown {
    return structuredClone(this.#random.pick(this.#often(4) ? Object.keys(raw) : odd))
  }

  #anything(depth: number): unknown {
    const kind = this.#random.between(0, depth > 0 ? 3 : 1)
    if (kind < 2) return this.#odd()
    const parts = Array.from({ length: this.#random.between(0, 4) }, () => this.#anything(depth - 1))
    if (kind === 2) return parts
    const object = {}
    for (const part of parts) set(object, this.#random.pick(names), part)
    return object
  }

  #scramble(text: string): string {
    const at = this.#random.between(0, text.length)
    const piece = this.#random.pick([...filterParts, '\u0007', '\u2028', text, 'x'.repeat(500)])
    return text.slice(0, at) + piece + text.slice(at + this.#random.between(0, 3))
  }

  /** JSON, with what no value can stand for written in, and sometimes a key twice or bytes that are no JSON. */
  #asText(body: unknown): Buffer {
    let text = JSON.stringify(body) ?? ''
    for (const [mark, written] of Object.entries(raw)) text = text.replaceAll(JSON.stringify(mark), written)
    if (this.#often(12))
      text = text.replace(
        '{',
        `{${this.#random.pick(['"active":false,', '"active":0,', '"__proto__":{},', '"schemas":[],'])}`,
      )
    if (this.#often(15)) text = text.slice(0, this.#random.between(0, text.length))
    const bytes = Buffer.from(text)
    if (this.#often(15) && bytes.length > 0)
      bytes[this.#random.between(0, bytes.length - 1)] = this.#random.pick([0xff, 0xc0, 0x80, 0, 0xed])
    return this.#often(40) ? Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]) : bytes
  }

  #encoded(body: Buffer): { headers: Record<string, string>; body: Buffer } {
    const type = this.#often(10)
      ? this.#random.pick([
          ...[
            '',
            'text/plain',
            'application/xml',
            'application/json; charset=utf-16',
            'application/json; charset="',
            ';;;',
          ],
          ...[
            'multipart/form-data; boundary=x',
            'application/scim+json; charset=latin1',
            'APPLICATION/SCIM+JSON',
            'x'.repeat(900),
          ],
        ])
      : 'application/scim+json; charset=utf-8'
    const [encoding, sent] = this.#often(15)
      ? this.#random.pick<[string, Buffer]>([
          ['gzip', gzipSync(body)],
          ['gzip', body],
          ['br', brotliCompressSync(body)],
          ['deflate', deflateSync(body)],
          ['gzip, gzip', gzipSync(gzipSync(body))],
          ['zstd', body],
          ['identity', body],
          ['gzip', gzipSync(body).subarray(0, 12)],
        ])
      : ['', body]
    return {
      headers: { ...(type && { 'content-type': type }), ...(encoding && { 'content-encoding': encoding }) },
      body: sent,
    }
  }

  #query({ users }: Targets): HostileRequest {
    let filter = this.#random.pick(filters)
    if (this.#often(3))
      filter = Array.from({ length: this.#random.between(1, 14) }, () => this.#random.pick(filterParts)).join(' ')
    for (let time = this.#random.between(0, 3); time > 0; time--) filter = this.#scramble(filter)
    if (this.#often(15)) filter = `${'('.repeat(2_000)}${filter}`
    const query = new URLSearchParams()
    const some: [string, string][] = [
      ['filter', filter],
      ['startIndex', this.#random.pick(['1', '0', '-1', '1e3', '999999999', '99999999999', 'x', '', '\0'])],
      ['count', this.#random.pick(['0', '5', '-1', '1000000', '1.5', 'NaN', '0x10'])],
      ['sortBy', this.#random.pick(['userName', 'emails', 'name', 'meta.version', 'groups.display', ...names])],
      ['sortOrder', this.#random.pick(['ascending', 'descending', 'DESC', ''])],
      ['attributes', this.#random.pick(['userName', 'emails[type eq "work"]', 'id,,', ...names])],
      ['excludedAttributes', this.#random.pick(['members', 'id', ...names])],
      ['cursor', this.#random.pick(['', 'x', 'a.b.c', '\0', 'x'.repeat(2_000)])],
      [this.#random.pick(names), 'x'],
    ]
    for (const [name, value] of some)
      if (name === 'filter' ? !this.#often(4) : this.#often(6)) query.append(name, value)
    if (this.#often(12)) query.append('filter', 'userName pr')
    const path = this.#random.pick(['/Users', '/Groups', '/', '', `/Users/${this.#random.pick(users)}`, '/Schemas'])
    return { method: 'GET', path: `${path}?${query}`, headers: {}, body: undefined }
  }

  #address({ users, groups }: Targets): HostileRequest {
    const id = this.#random.pick([...users, ...groups])
    const path = this.#random.pick([
      ...[
        '/Users/%00',
        '/Users/%ff',
        '/Users/..%2f..%2fadmin',
        '//Users',
        '/Users//',
        '/users',
        '/Me',
        '/Me/x',
        '/Devices',
        '/Bulk/x',
      ],
      ...[
        `/Groups/${id}`,
        `/Users/${id.toUpperCase()}`,
        `/Users/${id}/`,
        `/Users/${id}%20`,
        `/Users/${'a'.repeat(4_000)}`,
        '/%2e%2e/',
      ],
      ...[
        '/Users/__proto__',
        '/Schemas/constructor',
        '/ResourceTypes/__proto__',
        '/Schemas/urn:x',
        '/Users;a=b',
        '/Users?',
        '/Users/.search',
      ],
    ])
    const method = this.#random.pick(['GET', 'PUT', 'PATCH', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND', 'TRACE'])
    return { method, path, headers: {}, body: method === 'PATCH' ? Buffer.from('{}') : undefined }
  }

  #header(): Record<string, string> {
    return this.#random.pick<Record<string, string>>([
      { 'if-match': this.#random.pick(['*', '"', 'W/"1"', 'W/"', '"1", "2"', '""""""', `"${'x'.repeat(2_000)}`, '1']) },
      { 'if-none-match': this.#random.pick(['*', 'W/"1"', '"', 'W/W/"1"']) },
      { accept: this.#random.pick(['*/*', 'text/html', 'application/json', 'image/*;q=0', ';;', '']) },
      {
        authorization: this.#random.pick([
          '',
          'Bearer',
          'Bearer  ',
          'Basic eDp5',
          `Bearer ${'x'.repeat(2_000)}`,
          'Bearer a b',
          'Negotiate x',
        ]),
      },
      { 'x-http-method-override': 'DELETE' },
      { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'javascript' },
      { 'accept-encoding': 'klingon' },
      { expect: this.#random.pick(['100-continue', 'the unexpected']) },
      { range: 'bytes=0-1', te: 'trailers', upgrade: 'h2c', connection: 'upgrade' },
      { 'user-agent': '' },
    ])
  }
}

type Container = Record<string | number, unknown>

/** Every place in it, by its container and key. */
function placesIn(value: unknown): [Container, string][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]) => [
    [value as Container, key] as [Container, string],
    ...placesIn(each),
  ])
}

/** As a key of its own, `__proto__` too. */
function set(container: object, key: string, value: unknown): void {
  Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true })
}
