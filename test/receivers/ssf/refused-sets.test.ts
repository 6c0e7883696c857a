import { createHmac, createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import { CompactEncrypt, exportSPKI } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SsfConfig } from '../../../src/directory/channel-config.ts'
import type { Answer } from '../../support/clients.ts'
import { audience, caep, type Signing, ssf, type TransmitterKey } from '../../support/set-transmitter.ts'
import { type PushedDirectory, push, type SsfWorld, startSsfWorld } from '../../support/ssf-world.ts'
import { startWeb, type Web } from '../../support/web.ts'

let world: SsfWorld
let web: Web
let es256: TransmitterKey
let rs384: TransmitterKey
let unserved: TransmitterKey

const subject = { format: 'email', email: 'lee@acme.example' }
const revoked = { [`${caep}session-revoked`]: { event_timestamp: secondsAgo(10) } }
/** What every case below has but for the one thing that is wrong with it. */
const good = { sub_id: subject, events: revoked }

function secondsAgo(seconds: number): number {
  return Math.floor(Date.now() / 1_000) - seconds
}

const sign = (claims: Record<string, unknown> = {}, signing?: Signing) =>
  world.transmitter.sign({ ...good, ...claims }, signing)
const payload = (claims: Record<string, unknown> = {}) => ({
  iss: world.transmitter.issuer,
  aud: audience,
  jti: randomUUID(),
  iat: secondsAgo(0),
  ...good,
  ...claims,
})
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Signed by nobody. */
const unsigned = (header: Record<string, unknown>, signature = '') =>
  `${encode({ typ: 'secevent+jwt', ...header })}.${encode(payload())}.${signature}`

function withHmac(secret: string | Buffer, header: Record<string, unknown> = {}): string {
  const text = `${encode({ typ: 'secevent+jwt', alg: 'HS256', ...header })}.${encode(payload())}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** The parts of a good SET, one of them changed. */
async function altered(change: (parts: [string, string, string]) => string[]): Promise<string> {
  const parts = (await sign()).split('.') as [string, string, string]
  return change(parts).join('.')
}

async function withShortKey(): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  web.put('/short', { json: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'short', alg: 'RS256' }] } })
  const text = `${encode({ alg: 'RS256', kid: 'short', typ: 'secevent+jwt' })}.${encode(payload())}`
  return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`
}

async function encrypted(): Promise<string> {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return new CompactEncrypt(Buffer.from(await sign()))
    .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', cty: 'secevent+jwt', typ: 'secevent+jwt' })
    .encrypt(publicKey)
}

async function flattened(): Promise<string> {
  const [protectedHeader, body, signature] = (await sign()).split('.')
  return JSON.stringify({ protected: protectedHeader, payload: body, signature })
}

async function signedText(change: (text: string) => string): Promise<string> {
  return world.transmitter.signText(change(JSON.stringify(payload())))
}

interface Case {
  readonly status?: number
  readonly err: string | undefined
  /** Undefined: it is our trouble, and not counted. */
  readonly reason: string | undefined
  readonly config?: () => Partial<SsfConfig>
  readonly authorization?: string
  readonly headers?: Record<string, string | undefined>
  readonly set: () => string | Uint8Array | Promise<string>
}

const invalid = (reason: string, set: Case['set'], more: Partial<Case> = {}): Case => ({
  err: 'invalid_request',
  reason,
  set,
  ...more,
})
const claims = (reason: string, wrong: () => Record<string, unknown>) => invalid(reason, () => sign(wrong()))
const header = (reason: string, wrong: Record<string, unknown>) => invalid(reason, () => sign({}, { header: wrong }))
const event = (content: unknown) => ({ events: { [`${caep}session-revoked`]: content } })
const subjectIs = (wrong: unknown) => claims('subject', () => ({ sub_id: wrong }))

const algorithm = (set: Case['set'], config?: Case['config']): Case => ({
  err: 'invalid_key',
  reason: 'algorithm',
  set,
  ...(config && { config }),
})
const issuer = (wrong: () => unknown): Case => ({
  err: 'invalid_issuer',
  reason: 'issuer',
  set: () => sign({ iss: wrong() }),
})
const aud = (wrong: unknown): Case => ({ err: 'invalid_audience', reason: 'audience', set: () => sign({ aud: wrong }) })
const forged = (set: Case['set']): Case => ({ err: 'authentication_failed', reason: 'signature', set })
const unknownKey = (set: Case['set']): Case => ({ status: 503, err: undefined, reason: 'key', set })
const state = (wrong: unknown): Case => ({
  err: 'invalid_state',
  reason: 'state',
  set: () =>
    sign({ sub_id: { format: 'opaque', id: 'stream-1' }, events: { [`${ssf}verification`]: { state: wrong } } }),
})
const secret = 'Bearer push-authorization-5Tq8vLr2Xc9WzN4kHd7Jb3Fm'

const cases: Record<string, Case> = {
  // P4: algorithm confusion
  'alg none': algorithm(() => unsigned({ alg: 'none' })),
  'alg None, in another case': algorithm(() => unsigned({ alg: 'nOnE' })),
  'alg left out': algorithm(() => unsigned({}, 'c2ln')),
  'alg that is no text': algorithm(() => unsigned({ alg: ['RS256'] }, 'c2ln')),
  'HS256 with the public key as the secret, as PEM': algorithm(async () =>
    withHmac(await exportSPKI(world.transmitter.key.publicKey)),
  ),
  'HS256 with the key set as the secret': algorithm(async () =>
    withHmac(await (await fetch(world.transmitter.jwksUri)).text()),
  ),
  'HS256 even where it is configured': algorithm(
    () => withHmac('a-secret-nobody-shares-7Hq2'),
    () => ({ algorithms: ['HS256', 'none'] }),
  ),
  'none even where it is configured': algorithm(
    () => unsigned({ alg: 'none' }),
    () => ({ algorithms: ['none', 'RS256'] }),
  ),
  'ES256, signed by a key of the set but not configured': algorithm(() => sign({}, { key: es256 })),
  'RS384, signed by a key of the set but not configured': algorithm(() => sign({}, { key: rs384 })),
  'RS256 where only ES256 is configured': algorithm(
    () => sign(),
    () => ({ algorithms: ['ES256'] }),
  ),
  'an RSA key of 1024 bits': {
    err: 'invalid_key',
    reason: 'key',
    config: () => ({ jwksUri: `${web.url}/short` }),
    set: withShortKey,
  },

  // Signatures and keys
  'a signature by somebody else under a known kid': forged(async () =>
    sign({}, { key: unserved, header: { kid: world.transmitter.key.kid } }),
  ),
  'no signature': forged(() => altered(([head, body]) => [head, body, ''])),
  'the signature of another SET': forged(async () => {
    const other = (await sign()).split('.')[2]!
    return altered(([head, body]) => [head, body, other])
  }),
  'a payload that was changed': forged(() => altered(([head, , signature]) => [head, encode(payload()), signature])),
  'a header that was changed': forged(() =>
    altered(([head, body, signature]) => [
      encode({ ...JSON.parse(Buffer.from(head, 'base64url').toString()), typ: 'application/secevent+jwt' }),
      body,
      signature,
    ]),
  ),
  'a kid that the key set does not have (P16)': unknownKey(() => sign({}, { key: unserved })),
  'a key in its own header': unknownKey(async () => {
    const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
    return sign({}, { key: unserved, header: { jwk } })
  }),
  'an address of keys in its own header, which is not asked': unknownKey(() =>
    sign({}, { key: unserved, header: { jku: `${web.url}/jku`, x5u: `${web.url}/x5u` } }),
  ),
  'a key set that does not answer (P16)': {
    status: 503,
    err: undefined,
    reason: undefined,
    config: () => ({ jwksUri: `${web.url}/nowhere` }),
    set: () => sign(),
  },
  'a kid that is no text': header('content', { kid: 7 }),

  // P5: typ
  'no typ': header('type', { typ: undefined }),
  'typ JWT': header('type', { typ: 'JWT' }),
  'typ of an ID-JAG': header('type', { typ: 'oauth-id-jag+jwt' }),
  'typ of an access token': header('type', { typ: 'at+jwt' }),
  'typ that only begins like it': header('type', { typ: 'secevent+jwt2' }),
  'typ that is no text': header('type', { typ: ['secevent+jwt'] }),

  // Form
  'a critical header parameter': header('content', { crit: ['urn:example:unknown'], 'urn:example:unknown': 1 }),
  'a JWS in a JWS': invalid('content', async () => world.transmitter.signText(await sign())),
  'a JWS in a JWS that says so': header('content', { cty: 'secevent+jwt' }),
  'a JWE': invalid('content', encrypted),
  'the JSON serialization of a JWS': invalid('content', flattened),
  nothing: invalid('content', () => ''),
  'no JWS': invalid('content', () => 'Lorem ipsum.dolor sit.amet'),
  'two parts': invalid('content', () => altered(([head, body]) => [head, body])),
  'a header that is no JSON': invalid('content', () => altered(([, body, signature]) => ['bm9uZQ', body, signature])),
  'a payload that is no JSON': invalid('content', () => world.transmitter.signText('iss=me')),
  'a payload that is an array': invalid('content', () => signedText((text) => `[${text}]`)),
  'a payload that is no UTF-8': invalid('content', () =>
    world.transmitter.signText(Buffer.from(JSON.stringify(payload({ txn: '\u00e9' })), 'latin1')),
  ),
  'a payload that nests 20,000 deep': invalid('content', () =>
    signedText((text) => `${text.slice(0, -1)},"deep":${'['.repeat(20_000)}${']'.repeat(20_000)}}`),
  ),
  'a claim twice': invalid('content', () =>
    signedText((text) => `{"iss":"https://elsewhere.example",${text.slice(1)}`),
  ),
  'a member twice, deep inside and spelled otherwise': invalid('content', () =>
    signedText((text) => text.replace('"email":"lee@', '"em\\u0061il":"kim@acme.example","email":"lee@')),
  ),
  'a text that no database holds': claims('content', () => ({
    sub_id: { format: 'email', email: 'lee\0@acme.example' },
  })),
  'half a character': claims('content', () => ({ txn: '\ud83d' })),
  'more than 64 KiB': { ...claims('size', () => ({ txn: 'x'.repeat(60_000) })), status: 413 },

  // P6, P7: iss
  'no iss': issuer(() => undefined),
  'another iss': issuer(() => 'https://elsewhere.example'),
  'iss with a slash at the end': issuer(() => `${world.transmitter.issuer}/`),
  'iss in another case': issuer(() => world.transmitter.issuer.toUpperCase()),
  'iss in an array': issuer(() => [world.transmitter.issuer]),

  // P8: aud
  'no aud': aud(undefined),
  'another aud': aud('https://elsewhere.example'),
  'aud with a slash at the end': aud(`${audience}/`),
  'an array without our aud': aud(['https://elsewhere.example', 'https://tenure.example']),
  'an aud within an aud': aud([[audience]]),
  'an aud that is an object': aud({ [audience]: true }),

  // jti
  'no jti': claims('content', () => ({ jti: undefined })),
  'an empty jti': claims('content', () => ({ jti: '' })),
  'a jti that is a number': claims('content', () => ({ jti: 7 })),
  'a jti of 513 characters': claims('content', () => ({ jti: 'j'.repeat(513) })),

  // P1, P2: time
  'no iat': claims('time', () => ({ iat: undefined })),
  'an iat that is a text': claims('time', () => ({ iat: String(secondsAgo(0)) })),
  'an iat 3 minutes ahead': claims('time', () => ({ iat: secondsAgo(-180) })),
  'an iat 8 days ago': claims('time', () => ({ iat: secondsAgo(8 * 86_400) })),
  'an iat in milliseconds': claims('time', () => ({ iat: Date.now() })),
  'a negative iat': claims('time', () => ({ iat: -1 })),

  // P9: the subject
  'a sub': claims('subject', () => ({ sub: 'lee@acme.example' })),
  'no sub_id': claims('subject', () => ({ sub_id: undefined })),
  'the subject in the event alone (Okta, §1.7)': claims('subject', () => ({
    sub_id: undefined,
    ...event({ subject }),
  })),
  'another subject in the event': claims('subject', () =>
    event({ subject: { format: 'email', email: 'kim@acme.example' } }),
  ),
  'a sub_id that is a text': subjectIs('lee@acme.example'),
  'a sub_id without a format': subjectIs({ email: 'lee@acme.example' }),
  'a sub_id with subject_type': subjectIs({ subject_type: 'email', email: 'lee@acme.example' }),
  'an email without one': subjectIs({ format: 'email' }),
  'an iss_sub without a sub': subjectIs({ format: 'iss_sub', iss: 'https://idp.example' }),
  'an iss_sub whose sub is a number': subjectIs({ format: 'iss_sub', iss: 'https://idp.example', sub: 7 }),
  'an iss_sub whose sub is longer than a name can be': subjectIs({
    format: 'iss_sub',
    iss: 'https://idp.example',
    sub: 's'.repeat(2_000),
  }),
  'aliases that are none': subjectIs({ format: 'aliases', identifiers: [] }),
  'aliases in aliases': subjectIs({ format: 'aliases', identifiers: [{ format: 'aliases', identifiers: [subject] }] }),
  'an account that is no acct: URI': subjectIs({ format: 'account', uri: 'mailto:lee@acme.example' }),
  'a scim subject without a uri': subjectIs({ format: 'scim', id: randomUUID() }),
  'a complex subject whose user is a text': subjectIs({ format: 'complex', user: 'lee@acme.example' }),
  'a complex subject of another tenant (P24)': {
    err: 'access_denied',
    reason: 'subject',
    config: () => ({ tenant: 'acme' }),
    set: () => sign({ sub_id: { format: 'complex', user: subject, tenant: { format: 'opaque', id: 'other' } } }),
  },
  'a complex subject of a tenant where none is configured': {
    err: 'access_denied',
    reason: 'subject',
    set: () => sign({ sub_id: { format: 'complex', user: subject, tenant: { format: 'opaque', id: 'acme' } } }),
  },

  // Events
  'no events': claims('content', () => ({ events: undefined })),
  'events that are none': claims('content', () => ({ events: {} })),
  'events in an array': claims('content', () => ({ events: [revoked] })),
  'an event that is null': claims('content', () => event(null)),
  'an event that is a text': claims('content', () => event('now')),
  'a hundred and one events': claims('content', () => ({
    events: Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`urn:example:${index}`, {}])),
  })),
  'two events, one of them wrong: neither is taken': claims('subject', () => ({
    events: { ...revoked, [`${caep}credential-change`]: { subject: { format: 'email', email: 'kim@acme.example' } } },
  })),

  // SSF 1.0 §8.1.4.1
  'a verification with a state that nobody asked with': state('state-nobody-asked-with'),
  'a verification whose state is no text': state({}),

  // HTTP
  'no Authorization where one is configured': {
    ...forged(() => sign()),
    status: 401,
    reason: 'credential',
    authorization: secret,
  },
  'an Authorization that is not quite it': {
    ...forged(() => sign()),
    status: 401,
    reason: 'credential',
    authorization: secret,
    headers: { authorization: `${secret}x` },
  },
  JSON: invalid('type', () => sign(), { status: 415, headers: { 'content-type': 'application/json' } }),
  'application/jwt': invalid('type', () => sign(), { status: 415, headers: { 'content-type': 'application/jwt' } }),
  'no Content-Type': invalid('type', () => sign(), { status: 415, headers: { 'content-type': undefined } }),
  'a body of 64 KiB and a byte': invalid('size', () => 'x'.repeat(65_537), { status: 413 }),
  'an encoding that nobody reads': invalid('content', () => sign(), {
    status: 415,
    headers: { 'content-encoding': 'compress' },
  }),
}

const outcomes = new Map<string, { answer: Answer; directory: PushedDirectory; set: string }>()

beforeAll(async () => {
  world = await startSsfWorld()
  web = await startWeb()
  es256 = await world.transmitter.rotate('ES256')
  rs384 = await world.transmitter.rotate('RS384')
  unserved = await world.transmitter.makeKey('RS256')
  // The key set is fetched once; keys that come later are not known for a while (P15).
  const warm = await world.directory('warm')
  await push(warm.pushUrl, await sign())
  for (const [index, [name, { config, authorization, headers, set }]] of Object.entries(cases).entries()) {
    const directory = await world.directory(
      `case-${index}`,
      config?.(),
      ...(authorization === undefined ? [] : [authorization]),
    )
    const compact = await set()
    outcomes.set(name, { directory, set: String(compact), answer: await push(directory.pushUrl, compact, headers) })
  }
})
afterAll(async () => {
  await world?.close()
  await web?.close()
})

describe('SETs that are refused (RFC 8935 §2.3, §2.4)', () => {
  it('takes what they all are but for one thing', async () => {
    const directory = await world.directory('good')
    expect(await push(directory.pushUrl, await sign())).toMatchObject({ status: 202, body: undefined })
  })

  it.each(Object.keys(cases))('%s', async (name) => {
    const { status = 400, err, reason } = cases[name]!
    const { answer, directory } = outcomes.get(name)!
    expect({ status: answer.status, err: answer.body?.err }).toEqual({ status, err })
    expect(await world.refusals(directory.id, reason === undefined ? 0 : 1)).toEqual(
      reason === undefined ? {} : { [reason]: 1 },
    )
    expect(await world.events(directory.id)).toEqual([])
    if (status === 503) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    else expect(answer.headers.get('content-language')).toBe('en')
  })
})
