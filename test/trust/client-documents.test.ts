import { Writable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { Unavailable } from '../../src/errors.ts'
import { createLogger } from '../../src/log.ts'
import { type ClientDocuments, createClientDocuments } from '../../src/trust/client-documents.ts'
import { waitFor } from '../support/wait-for.ts'
import { startWeb, type Web } from '../support/web.ts'

const minute = 60_000
const jwtBearer = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

let egress: Egress
beforeAll(() => {
  egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
})
afterAll(() => egress.close())

describe('a Client ID Metadata Document', () => {
  let web: Web
  let url: string
  let now: number
  let lines: Array<Record<string, unknown>>
  let documents: ClientDocuments

  beforeEach(async () => {
    web = await startWeb()
    url = `${web.url}/oauth/client`
    now = 1_000_000
    lines = []
    documents = createDocuments(egress)
  })
  afterEach(() => web.close())

  function createDocuments(door: Egress): ClientDocuments {
    const destination = new Writable({
      write(chunk, _encoding, done) {
        lines.push(JSON.parse(String(chunk)))
        done()
      },
    })
    const log = createLogger({ level: 'info', destination })
    return createClientDocuments({ egress: door, log, tokenRequestsPerMinute: 600, now: () => now, most: 2 })
  }
  function serve(fields: Record<string, unknown> = {}): void {
    const document = {
      client_id: url,
      client_name: 'Agent',
      grant_types: ['authorization_code', jwtBearer],
      token_endpoint_auth_method: 'none',
    }
    web.put('/oauth/client', { json: { ...document, ...fields } })
  }
  const agent = () => ({
    id: url,
    name: 'Agent',
    auth: 'none',
    jwksUri: null,
    isDocument: true,
    mayUseJwtBearer: true,
    tokenRequestsPerMinute: 600,
  })

  it('describes a public client, or one that signs', async () => {
    serve()
    expect(await documents.find(url)).toEqual(agent())
    const jwksUri = `${web.url}/keys`
    serve({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: jwksUri })
    now += 11 * minute
    expect(await documents.find(url)).toEqual({ ...agent(), auth: 'private_key_jwt', jwksUri })
  })

  it.each([
    ['lists others', ['authorization_code', 'refresh_token']],
    ['lists none, which is the authorization code alone (RFC 7591 §2)', undefined],
    ['lists no list', jwtBearer],
  ])('does not allow the grant type jwt-bearer where it %s', async (_what, grant_types) => {
    serve({ grant_types })
    expect(await documents.find(url)).toEqual({ ...agent(), mayUseJwtBearer: false })
  })

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['of another client_id', { client_id: 'https://agent.example/oauth/client' }, /client_id/],
    ['whose client_id differs by a slash', { client_id: undefined }, /client_id/],
    ['with a secret', { token_endpoint_auth_method: 'client_secret_basic' }, /secret/],
    ['that does not say how it authenticates', { token_endpoint_auth_method: undefined }, /secret/],
    ['that signs with keys that it does not name', { token_endpoint_auth_method: 'private_key_jwt' }, /jwks_uri/],
    ['that is too large', { padding: 'x'.repeat(20_000) }, /larger/],
  ])('is refused: one %s', async (_what, fields, reason) => {
    serve('client_id' in fields && fields.client_id === undefined ? { client_id: `${url}/` } : fields)
    expect(await documents.find(url)).toBeUndefined()
    expect(lines).toMatchObject([{ msg: 'client_document.refused', reason: expect.stringMatching(reason) }])
  })

  it.each<[string, Parameters<Web['put']>[1]]>([
    ['no JSON', { status: 200, body: '<html>' }],
    ['a list', { json: [] }],
    ['a redirect', { status: 301, location: '/other' }],
    ['forbidden, as Claude answers data centres', { status: 403 }],
  ])('is refused: %s', async (_what, page) => {
    web.put('/oauth/client', page)
    web.put('/other', { json: { client_id: url, token_endpoint_auth_method: 'none' } })
    expect(await documents.find(url)).toBeUndefined()
    expect(web.asked).toEqual(['/oauth/client'])
  })

  it.each([
    'claude',
    'https://agent.example',
    'https://agent.example/',
    'https://user:pass@agent.example/client',
    'https://agent.example/client#part',
    'https://agent.example/a/../client',
    'https://AGENT.example/client',
    'http://agent.example/client',
    'https://10.0.0.1/client',
    'https://metadata.google.internal/client',
    `https://agent.example/${'x'.repeat(2_000)}`,
  ])('has no such address: %s', async (id) => {
    expect(await documents.find(id)).toBeUndefined()
    expect(lines).toEqual([])
  })

  it('is not asked for at a private address, whatever its name says', async () => {
    const door = createEgress({
      allowPrivateTargets: [],
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
    })
    const port = new URL(web.url).port
    expect(await createDocuments(door).find(`https://agent.example:${port}/oauth/client`)).toBeUndefined()
    expect(lines).toMatchObject([{ reason: 'its address is not allowed' }])
    expect(web.asked).toEqual([])
    await door.close()
  })

  it('is kept for ten minutes, a refusal for one', async () => {
    serve()
    await documents.find(url)
    now += 10 * minute - 1
    await documents.find(url)
    expect(web.asked).toHaveLength(1)
    web.put('/oauth/client', { status: 404 })
    now += 1
    expect(await documents.find(url)).toBeUndefined()
    now += minute - 1
    expect(await documents.find(url)).toBeUndefined()
    expect(web.asked).toHaveLength(2)
    serve()
    now += 1
    expect(await documents.find(url)).toEqual(agent())
  })

  it('is used on for a day while its address fails; without one the answer is: later', async () => {
    web.put('/oauth/client', { status: 500 })
    await expect(documents.find(url)).rejects.toThrow(Unavailable)
    serve()
    expect(await documents.find(url)).toEqual(agent())
    web.put('/oauth/client', { status: 503 })
    now += 24 * 60 * minute
    expect(await documents.find(url)).toEqual(agent())
    now += minute
    await expect(documents.find(url)).rejects.toThrow(Unavailable)
  })

  it('is fetched once for all who wait for it, and only so many at once', async () => {
    for (let n = 0; n < 16; n++) web.put(`/${n}`, 'stalled')
    const waiting = Array.from({ length: 32 }, (_, n) => documents.find(`${web.url}/${n % 16}`))
    await waitFor(async () => web.asked.length === 16, { what: 'sixteen to be asked for' })
    await expect(documents.find(url)).rejects.toThrow(Unavailable)
    for (let n = 0; n < 16; n++) web.put(`/${n}`, { status: 404 })
    web.release()
    expect(await Promise.all(waiting)).toEqual(Array(32).fill(undefined))
    expect(web.asked).toHaveLength(16)
    serve()
    expect(await documents.find(url)).toEqual(agent())
  })

  it('that was good is used on while too many others are asked for', async () => {
    serve()
    await documents.find(url)
    now += 11 * minute
    for (let n = 0; n < 16; n++) web.put(`/${n}`, 'stalled')
    const others = Array.from({ length: 16 }, (_, n) => documents.find(`${web.url}/${n}`))
    await waitFor(() => web.asked.length === 17, { what: 'the others to be asked for' })
    expect(await documents.find(url)).toEqual(agent())
    for (let n = 0; n < 16; n++) web.put(`/${n}`, { status: 404 })
    web.release()
    await Promise.all(others)
  })

  it('is forgotten when too many others were asked for since', async () => {
    for (const path of ['/a', '/b', '/c']) web.put(path, { status: 404 })
    for (const path of ['/a', '/b', '/a', '/c', '/a', '/b']) await documents.find(`${web.url}${path}`)
    expect(web.asked).toEqual(['/a', '/b', '/c', '/b'])
  })
})
