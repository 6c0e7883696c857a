import { type CryptoKey, exportJWK, generateKeyPair, generateSecret, type JWK } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { createKeySets, type KeySets, KeySetUnreachable, UnknownKey } from '../../src/trust/key-sets.ts'
import { waitFor } from '../support/wait-for.ts'
import { startWeb, type Web } from '../support/web.ts'

const minute = 60_000
const es256 = { alg: 'ES256' }

let egress: Egress
let ada: JWK
let bob: JWK

beforeAll(async () => {
  egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
  ada = await publicKey('ada')
  bob = await publicKey('bob')
})
afterAll(() => egress.close())

async function publicKey(kid: string, alg = 'ES256'): Promise<JWK> {
  const { publicKey } = await generateKeyPair(alg, { extractable: true })
  return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
}

describe('the key set of an issuer (RFC 7517 §5)', () => {
  let web: Web
  let uri: string
  let now: number
  let keySets: KeySets
  let noted: boolean[]

  beforeEach(async () => {
    web = await startWeb()
    uri = `${web.url}/keys`
    now = 1_000_000
    noted = []
    keySets = createKeySets({ egress, now: () => now, most: 2, onFetched: (_uri, isReached) => noted.push(isReached) })
  })
  afterEach(() => web.close())

  function serve(...keys: JWK[]): void {
    web.put('/keys', { json: { keys } })
  }
  async function xOf(kid: string, alg = 'ES256'): Promise<unknown> {
    return (await crypto.subtle.exportKey('jwk', (await keySets.keyFor(uri, { alg, kid })) as CryptoKey)).x
  }

  it('gives the key that the header names, and is fetched again after five minutes', async () => {
    serve(ada, bob)
    expect(await xOf('ada')).toBe(ada.x)
    now += 5 * minute
    expect(await xOf('bob')).toBe(bob.x)
    expect(web.asked).toHaveLength(1)
    now += 1
    expect(await xOf('bob')).toBe(bob.x)
    expect(web.asked).toHaveLength(2)
    expect(noted).toEqual([true, true])
  })

  it('forgets a key that is served no longer', async () => {
    serve(ada, bob)
    await xOf('ada')
    serve(bob)
    now += 5 * minute + 1
    await expect(xOf('ada')).rejects.toThrow(UnknownKey)
  })

  it('finds a new key at once, and is fetched for an unknown one at most every 30 seconds', async () => {
    serve(ada)
    await xOf('ada')
    await expect(xOf('bob')).rejects.toThrow(UnknownKey)
    expect(web.asked).toHaveLength(1)
    serve(ada, bob)
    now += 30_001
    expect(await xOf('bob')).toBe(bob.x)
    for (const kid of ['eve', 'mallory']) await expect(xOf(kid)).rejects.toThrow(UnknownKey)
    expect(web.asked).toHaveLength(2)
    now += 30_001
    for (const kid of ['eve', 'mallory']) await expect(xOf(kid)).rejects.toThrow(UnknownKey)
    expect(web.asked).toHaveLength(3)
  })

  it('is fetched once for all who wait for it', async () => {
    web.put('/keys', 'stalled')
    const waiting = Array.from({ length: 20 }, () => xOf('ada'))
    await waitFor(async () => web.asked.length > 0, { what: 'the key set to be asked for' })
    serve(ada)
    web.release()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([ada.x]))
    expect(web.asked).toHaveLength(1)
  })

  it('is used for an hour while its address fails, and asked for every 30 seconds then', async () => {
    serve(ada)
    await xOf('ada')
    web.put('/keys', { status: 500 })
    now += 5 * minute + 1
    expect(await xOf('ada')).toBe(ada.x)
    expect(await xOf('ada')).toBe(ada.x)
    expect(web.asked).toHaveLength(2)
    await expect(xOf('bob')).rejects.toThrow(KeySetUnreachable)
    now += 55 * minute - 2
    expect(await xOf('ada')).toBe(ada.x)
    now += 2
    await expect(xOf('ada')).rejects.toThrow(KeySetUnreachable)
    expect(noted.at(-1)).toBe(false)
    serve(ada)
    now += 5_001
    expect(await xOf('ada')).toBe(ada.x)
    expect(noted.at(-1)).toBe(true)
  })

  it('is asked for every five seconds while there is none at all', async () => {
    web.put('/keys', { status: 503 })
    for (const _ of [1, 2, 3]) await expect(xOf('ada')).rejects.toThrow(KeySetUnreachable)
    expect(web.asked).toHaveLength(1)
    serve(ada)
    now += 5_001
    expect(await xOf('ada')).toBe(ada.x)
  })

  it.each<[string, () => Parameters<Web['put']>[1]]>([
    ['is no JSON', () => ({ status: 200, body: '<html>' })],
    ['has no keys', () => ({ json: { jwks: [] } })],
    ['is a redirect', () => ({ status: 302, location: '/elsewhere', body: JSON.stringify({ keys: [ada] }) })],
    ['is larger than 64 KiB', () => ({ status: 200, body: JSON.stringify({ keys: [ada] }).padEnd(65_537) })],
  ])('is none where it %s', async (_what, page) => {
    web.put('/keys', page())
    web.put('/elsewhere', { json: { keys: [ada] } })
    await expect(xOf('ada')).rejects.toThrow(KeySetUnreachable)
    expect(web.asked).toEqual(['/keys'])
  })

  it('is not asked for at a private address', async () => {
    serve(ada)
    const guarded = createEgress({ allowPrivateTargets: [] })
    await expect(createKeySets({ egress: guarded }).keyFor(uri, { ...es256, kid: 'ada' })).rejects.toThrow(
      KeySetUnreachable,
    )
    await guarded.close()
    expect(web.asked).toEqual([])
  })

  it('has no key for what is not for signatures, of another algorithm, private, shared, malformed, or named twice', async () => {
    const { privateKey } = await generateKeyPair('ES256', { extractable: true })
    const shared = await exportJWK(await generateSecret('HS256', { extractable: true }))
    serve(
      { ...ada, kid: 'for encryption', use: 'enc' },
      { ...(await publicKey('rsa', 'RS256')) },
      { ...(await exportJWK(privateKey)), kid: 'private', alg: 'ES256' },
      { ...shared, kid: 'shared', alg: 'HS256' },
      { ...ada, kid: 'malformed', x: 'AAAA' },
      { ...ada, kid: 'twice' },
      { ...bob, kid: 'twice' },
    )
    for (const kid of ['for encryption', 'rsa', 'private', 'malformed', 'twice', 'shared'])
      await expect(xOf(kid), kid).rejects.toThrow(UnknownKey)
    await expect(xOf('shared', 'HS256')).rejects.toThrow(UnknownKey)
    await expect(xOf('twice', 'none')).rejects.toThrow(UnknownKey)
    await expect(keySets.keyFor(uri, es256)).rejects.toThrow(UnknownKey)
    expect(web.asked).toHaveLength(1)
  })

  it('is all that counts: a key, or an address of one, in the header is not looked at', async () => {
    serve(ada)
    const header = { ...es256, kid: 'ada', jwk: bob, jku: `${web.url}/other`, x5u: `${web.url}/other` }
    const key = (await keySets.keyFor(uri, header)) as CryptoKey
    expect((await crypto.subtle.exportKey('jwk', key)).x).toBe(ada.x)
    await expect(keySets.keyFor(uri, { ...header, kid: 'bob' })).rejects.toThrow(UnknownKey)
    expect(web.asked).toEqual(['/keys'])
  })

  it('is forgotten when too many others were asked for since', async () => {
    for (const path of ['/keys', '/a', '/b']) web.put(path, { json: { keys: [ada] } })
    const header = { ...es256, kid: 'ada' }
    for (const path of ['/keys', '/a', '/keys', '/b', '/keys', '/a']) await keySets.keyFor(`${web.url}${path}`, header)
    expect(web.asked).toEqual(['/keys', '/a', '/b', '/a'])
  })
})
