import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SecretRecord } from './secret-record.ts'
import { type ScanReport, scanRecording, summarise } from './secret-scan.ts'
import { Search } from './secret-search.ts'

const newToken = () => `scim_${randomBytes(32).toString('base64url')}`

describe('the scan for secrets', () => {
  let folder: string
  let record: SecretRecord
  let token: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tenure-scan-'))
    record = new SecretRecord(folder, 'test/planted.test.ts')
    token = newToken()
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const scan = (): ScanReport => {
    record.flush()
    return scanRecording(folder)
  }
  const exchange = (
    call: string,
    text: string,
    { status = 200, body = '', authorization = null as string | null } = {},
  ) => {
    const [method, path] = call.split(' ') as [string, string]
    record.exchange({ method, url: `http://127.0.0.1${path}`, authorization, body }, { status, headers: '', text })
  }
  const makeToken = () =>
    exchange('POST /admin/v1/directories/acme/tokens', JSON.stringify({ id: 'tok_1', token }), { status: 201 })

  it('lets the answer that made a secret show it, once', () => {
    makeToken()
    exchange('GET /admin/v1/directories/acme/tokens', '{"items":[{"id":"tok_1"}]}')
    expect(summarise(scan())).toMatch(/^secrets: 1 secrets, 0\.0 MB of output scanned, none found$/)
  })

  it.each<[string, () => void]>([
    ['a log', () => record.output('the log of tenure api', `{"msg":"request.served","path":"/x/${token}"}`)],
    ['standard error', () => record.output('stderr of bin/tenure.js worker', `Error: ${token} is wrong`)],
    ['metrics', () => exchange('GET /metrics', `tenure_requests_total{token="${token}"} 1`)],
    ['an example of OpenAPI', () => exchange('GET /admin/v1/openapi.json', `{"example":{"token":"${token}"}}`)],
    ['another answer', () => exchange('GET /admin/v1/directories/acme/tokens', `{"items":[{"token":"${token}"}]}`)],
    ['an answer that makes something else', () => exchange('PATCH /admin/v1/servers/x', JSON.stringify({ token }))],
    ['an error', () => exchange('POST /admin/v1/grants', `{"detail":"${token} is no field"}`, { status: 422 })],
    ['a header', () => record.output('a webhook', `{"authorization":"Bearer ${token}"}`)],
    ['a URL', () => record.output('the log of tenure api', `?token=${token}`)],
    ['Basic credentials', () => record.output('a log', Buffer.from(`linear:${token}`).toString('base64'))],
    ['base64url', () => record.output('a log', Buffer.from(`?>${token}?>`).toString('base64url'))],
  ])('finds it in %s', (_where, leak) => {
    makeToken()
    leak()
    const { leaks } = scan()
    expect(leaks.length).toBeGreaterThan(0)
    expect(leaks[0]!.secret).toContain('test/planted.test.ts')
    expect(JSON.stringify(leaks)).not.toContain(token)
  })

  it('finds one that no test knew of by how it looks', () => {
    record.output('the log of tenure api', `{"secret":"whsec_${randomBytes(32).toString('base64')}"}`)
    record.output('stdout of bin/tenure.js worker', `cred_${randomBytes(32).toString('base64url')}`)
    expect(scan().leaks).toHaveLength(2)
  })

  it('finds what is URL-encoded', () => {
    const secret = `whsec_${'+/'.repeat(21)}A=`
    exchange('POST /admin/v1/servers', JSON.stringify({ connectors: [{ signingSecret: secret }] }), { status: 201 })
    expect(scan().leaks).toEqual([])
    record.output('a log', `?secret=${encodeURIComponent(secret)}`)
    expect(scan().leaks).toMatchObject([{ why: 'URL-encoded' }])
  })

  it('finds what the tests gave: tokens, passwords, keys; but not a jti', () => {
    const body = JSON.stringify({ token: 'at-of-ada', jti: 'jti-of-ada' })
    const authorization = `Basic ${Buffer.from('linear:a-password-of-linear').toString('base64')}`
    exchange('POST /admin/v1/grants', '{}', { status: 201, body, authorization })
    exchange('POST /oauth2/introspect', '{}', { body: 'token=not-read' })
    record.environment({
      TENURE_ADMIN_KEY: 'first-admin-key-of-two,second-admin-key-of-two',
      DATABASE_URL: 'postgres://tenure:p%40ssword-of-tenure@db/tenure',
    })
    for (const text of ['at-of-ada', 'jti-of-ada', 'at-of-adam', 'a-password-of-linear', 'second-admin-key-of-two'])
      record.output('a log', `"${text}"`)
    record.output('a log', 'postgres://tenure:p%40ssword-of-tenure@db/tenure')
    expect(scan().leaks.map(({ secret }) => secret.replace(/ \(.*/, ''))).toEqual([
      'token given to POST /admin/v1/grants',
      'password of POST /admin/v1/grants',
      'TENURE_ADMIN_KEY',
      'database password in DATABASE_URL',
    ])
  })

  it('finds what was generated under a TENURE_HOME', () => {
    writeFileSync(join(folder, 'secret-key'), 'a-sealing-key-without-any-form\n')
    writeFileSync(join(folder, 'database.json'), '{"passwords": {"owner": "password-of-owner"}}')
    record.home(folder)
    record.output('a log', 'a-sealing-key-without-any-form password-of-owner')
    expect(scan().leaks).toHaveLength(2)
  })

  it('lets a command that made a secret print it once, and no more', () => {
    record.command('stdout of bin/tenure.js token create acme', token)
    expect(scan().leaks).toEqual([])
    record.command('stdout of bin/tenure.js token list acme', token)
    expect(scan().leaks).toMatchObject([{ why: 'shown a second time' }, { why: 'shown a second time' }])
  })

  it('lets nothing say a secret twice, were it the answer that made it', () => {
    exchange('POST /admin/v1/keys', JSON.stringify({ key: token, link: `/x?${token}` }), { status: 201 })
    expect(scan().leaks).toMatchObject([{ why: 'said more than once' }])
  })

  it('does not look for one letter over and over, which a longer text is full of', () => {
    exchange('POST /oauth2/token', '{}', { body: `assertion=${'x'.repeat(17_000)}` })
    record.output('a log', 'x'.repeat(2_000_000))
    expect(scan().leaks).toEqual([])
  })

  it('says which secret was said where, in a message that repeats none', () => {
    const other = newToken()
    makeToken()
    record.secret(other, 'another')
    record.output('the log of tenure worker', `send failed: ${token} ${other}`)
    const report = scan()
    expect(() => summarise(report)).toThrow(
      /2 found\n {2}token made by POST \/admin\/v1\/directories\/acme\/tokens \(test\/planted\.test\.ts\)\n {4}said again in the log of tenure worker \(test\/planted\.test\.ts\):\n {4}…send failed: \[secret\]/,
    )
    expect(JSON.stringify(report)).not.toContain(token)
    expect(JSON.stringify(report)).not.toContain(other)
  })
})

describe('searching for many strings', () => {
  it('finds what a search for each alone finds', () => {
    const letters = 'abc'
    const random = (length: number) => [...randomBytes(length)].map((byte) => letters[byte % 3]).join('')
    const needles = Array.from({ length: 300 }, (_, index) => random(6 + (index % 9)))
    const search = new Search<string>()
    for (const needle of new Set(needles)) search.add(needle, needle)
    const text = random(20_000)
    const found: string[] = []
    search.scan(Buffer.from(text), (needle, start, end) => {
      expect(text.slice(start, end)).toBe(needle)
      found.push(needle)
    })
    const expected = [...new Set(needles)].flatMap((needle) =>
      Array.from(text.matchAll(new RegExp(`(?=${needle})`, 'g')), () => needle),
    )
    expect(expected.length).toBeGreaterThan(1_000)
    expect(found.toSorted()).toEqual(expected.toSorted())
  })
})
