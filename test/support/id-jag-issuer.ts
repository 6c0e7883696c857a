import { randomUUID } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import { record } from './secret-setup.ts'

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>> & { readonly kid: string; readonly alg: string }

export interface Minting {
  /** Parameters of the header beside `alg`, `kid` and `typ`; undefined leaves one out. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Signs with this one; default: the newest of those that are served. */
  readonly key?: KeyPair
}

/** An identity provider as an authorization server meets it: an issuer with a JWK Set on 127.0.0.1, and its ID-JAGs. */
export interface IdJagIssuer {
  readonly issuer: string
  readonly jwksUri: string
  /** How often its key set was asked for. */
  readonly fetches: number
  /** A signed ID-JAG for five minutes from now; `claims` over its own, undefined to leave one out. */
  mint(claims: Readonly<Record<string, unknown>>, minting?: Minting): Promise<string>
  /** A key that is not served. */
  makeKey(alg?: string): Promise<KeyPair>
  /** From now on signs with a new key, whose public half is served beside the older ones. */
  rotate(alg?: string): Promise<KeyPair>
  /** How the key set is answered from now on. `stalled`: not at all, until it is `good` again. */
  serve(how: 'good' | 'stalled' | 'garbage' | 'broken'): void
  close(): Promise<void>
}

export async function startIdJagIssuer(): Promise<IdJagIssuer> {
  const keys: KeyPair[] = []
  let how: 'good' | 'stalled' | 'garbage' | 'broken' = 'good'
  let fetches = 0
  const waiting = new Set<ServerResponse>()

  const answer = async (res: ServerResponse): Promise<void> => {
    if (how === 'stalled') return void waiting.add(res)
    if (how === 'broken') return void res.writeHead(500).end()
    res.writeHead(200, { 'content-type': 'application/jwk-set+json' })
    res.end(how === 'garbage' ? '<html>' : JSON.stringify({ keys: await Promise.all(keys.map(publicHalf)) }))
  }
  const server = createServer((req, res) => {
    if (req.url !== '/jwks') return void res.writeHead(404).end()
    fetches++
    void answer(res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  const makeKey = async (alg = 'ES256'): Promise<KeyPair> => ({
    ...(await generateKeyPair(alg, { extractable: true })),
    kid: randomUUID(),
    alg,
  })
  const rotate = async (alg?: string): Promise<KeyPair> => {
    const key = await makeKey(alg)
    keys.push(key)
    return key
  }
  await rotate()

  return {
    issuer,
    jwksUri: `${issuer}/jwks`,
    get fetches() {
      return fetches
    },
    makeKey,
    rotate,
    async mint(claims, { header = {}, key = keys.at(-1)! } = {}) {
      const now = Math.floor(Date.now() / 1_000)
      const own = { iss: issuer, jti: `IDAAG.${randomUUID()}`, iat: now, exp: now + 300 }
      const assertion = await new SignJWT({ ...own, ...claims } as JWTPayload)
        .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'oauth-id-jag+jwt', ...header })
        .sign(key.privateKey, { crit: { 'urn:example:unknown': true } })
      record.secret(assertion, 'ID-JAG')
      return assertion
    },
    serve(next) {
      how = next
      if (next === 'stalled') return
      for (const res of waiting) void answer(res)
      waiting.clear()
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function publicHalf({ publicKey, kid, alg }: KeyPair): Promise<JWK> {
  return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
}
