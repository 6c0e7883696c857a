import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { Webhook } from 'standardwebhooks'
import { buildMessage } from '../../src/delivery/message.ts'
import type { GuardOptions } from '../../src/guard/guard.ts'
import { unionOf } from '../../src/lifecycle/access.ts'
import { newSecret, newSigningSecret } from '../../src/secrets.ts'
import { record } from '../support/secret-setup.ts'
import { waitFor } from '../support/wait-for.ts'

export const resource = 'http://127.0.0.1/mcp'

/** As much of Tenure as a guard sees: introspection, keys, and signed webhooks, each as the guard's own server would get them. */
export interface StandIn {
  readonly url: string
  readonly options: Pick<GuardOptions, 'tenure' | 'resource' | 'clientId' | 'clientSecret'>
  readonly webhookSecret: string
  /** Tokens that were asked about, in order. */
  readonly asked: readonly string[]
  /** Questions that wait for an answer. */
  readonly open: number
  /** How often the keys were read. */
  readonly keysRead: number
  /** From now on, for introspection and keys. Nothing given: good again. */
  behave(behaviour?: Behaviour): void
  /** Lets go what hangs; each is answered by what was true when it was asked. */
  release(): void
  /** An opaque token, good for an hour. Fields as an introspection answers them. */
  issue(fields?: Record<string, unknown>): string
  /** An RFC 9068 token, known to introspection too. `header` and `claims` replace what is right; undefined leaves it out. */
  issueJwt(claims?: JWTPayload, header?: Record<string, unknown>): Promise<string>
  /** No token of the user is good any more. Tells nobody. */
  cut(user: string): void
  /** This token is not good any more. Tells nobody. */
  revoke(token: string): void
  /** A webhook as Tenure would send it; the generation grows by itself. @returns the status answered */
  tell(url: string, state?: ToldState): Promise<number>
  /** What `tell` sends: to be sent again, or changed. */
  message(state?: ToldState): { headers: Record<string, string>; body: string }
  close(): Promise<void>
}

export interface Behaviour {
  status?: number
  headers?: Record<string, string>
  body?: string
  hang?: boolean
  drop?: boolean
  /** For so many requests. */
  times?: number
}

export interface ToldState {
  user?: string
  active?: boolean
  scopes?: readonly string[]
  clients?: readonly string[]
  at?: Date
  /** Default: `at` for who has nothing any more, as of a leaver. */
  notBefore?: Date | null
  generation?: number
  jtis?: readonly string[]
  /** Signs with this instead. */
  secrets?: readonly string[]
  /** When it is sent, as its header says. */
  sentAt?: Date
}

export async function startStandIn(): Promise<StandIn> {
  const tokens = new Map<string, Record<string, unknown>>()
  const asked: string[] = []
  const hanging = new Set<() => void>()
  const webhookSecret = newSigningSecret()
  const [clientId, clientSecret] = ['srv_guarded', newSecret('tnr_cs')]
  const keys = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'key-1', alg: 'ES256', use: 'sig' }
  let behaviour: Behaviour = {}
  let generation = 1_000
  let keysRead = 0

  const http = createServer((req, res) => {
    if (req.url === '/oauth2/jwks') {
      keysRead++
      answer(res, { keys: [jwk] })
      return
    }
    const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
    readForm(req).then(
      (form) => {
        const token = form.get('token') ?? ''
        const good = req.url === '/oauth2/introspect' && req.method === 'POST' && form.size > 0
        if (!good || req.headers.authorization !== basic) {
          res.writeHead(good ? 401 : 404).end('{}')
          return
        }
        asked.push(token)
        answer(res, tokens.get(token) ?? { active: false })
      },
      () => res.destroy(),
    )
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`

  function answer(res: ServerResponse, body: object): void {
    const { times } = behaviour
    if (times !== undefined) behaviour = times > 0 ? { ...behaviour, times: times - 1 } : {}
    const { status = 200, headers = {}, hang, drop } = behaviour
    const text = behaviour.body ?? JSON.stringify(body)
    const send = () => {
      hanging.delete(send)
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
    }
    if (drop) res.destroy()
    else if (!hang) send()
    else {
      hanging.add(send)
      res.once('close', () => hanging.delete(send))
    }
  }

  function claimsFor(fields: Record<string, unknown>): Record<string, unknown> {
    const now = Math.floor(Date.now() / 1_000)
    return {
      scope: 'read write',
      client_id: 'claude',
      sub: 'ada',
      aud: resource,
      iss: url,
      iat: now,
      exp: now + 3_600,
      ...fields,
    }
  }

  function message(state: ToldState = {}) {
    const { user = 'ada', active = false, scopes = [], clients = [], at = new Date(), jtis = [] } = state
    const { notBefore = active ? null : at } = state
    const given = state.generation ?? ++generation
    const identity = { userName: `${user}@acme.example`, email: null, externalId: null, displayName: null }
    const { body } = buildMessage({
      serverId: 'guarded',
      generation: given,
      userId: user,
      directoryId: 'acme',
      at: at.toISOString(),
      state: {
        active,
        epoch: 2,
        access: unionOf([{ scopes, clients: clients.length > 0 ? clients : null }]),
        identity,
      },
      told: null,
      notBefore: notBefore?.toISOString() ?? null,
      closedGrants: jtis.map((jti) => ({ id: `grt_${jti}`, client: 'claude', jti })),
      cause: null,
    })
    const id = `msg_${given}`
    const sentAt = state.sentAt ?? new Date()
    const signed = (state.secrets ?? [webhookSecret]).map((secret) => new Webhook(secret).sign(id, sentAt, body))
    const headers = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1_000)),
      'webhook-signature': signed.join(' '),
    }
    return { headers, body }
  }

  return {
    url,
    options: { tenure: url, resource, clientId, clientSecret },
    webhookSecret,
    asked,
    get open() {
      return hanging.size
    },
    get keysRead() {
      return keysRead
    },
    behave(next = {}) {
      behaviour = next
    },
    release() {
      behaviour = {}
      for (const send of [...hanging]) send()
    },
    issue(fields = {}) {
      const token = `tnr_at_${randomBytes(32).toString('base64url')}`
      record.secret(token, 'access token of a stand-in')
      tokens.set(token, { active: true, ...claimsFor(fields), token_type: 'Bearer' })
      return token
    },
    async issueJwt(claims = {}, header = {}) {
      const payload = claimsFor({ jti: randomBytes(8).toString('hex'), ...claims })
      const token = await new SignJWT(JSON.parse(JSON.stringify(payload)))
        .setProtectedHeader(JSON.parse(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid: 'key-1', ...header })))
        .sign(keys.privateKey, { crit: { b: true } })
      record.secret(token, 'access token of a stand-in')
      tokens.set(token, { active: true, ...payload, token_type: 'Bearer' })
      return token
    },
    cut(user) {
      for (const [token, { sub }] of tokens) if (sub === user) tokens.set(token, { active: false })
    },
    revoke(token) {
      tokens.set(token, { active: false })
    },
    message,
    async tell(target, state) {
      const response = await fetch(target, { method: 'POST', ...message(state) })
      await response.arrayBuffer()
      return response.status
    },
    async close() {
      const closed = new Promise((resolve) => http.close(resolve))
      http.closeAllConnections()
      await closed
    },
  }
}

/** Until a second has begun that a token of before was not issued in: tokens count in seconds. */
export async function nextSecond(): Promise<void> {
  const second = Math.floor(Date.now() / 1_000)
  await waitFor(() => Math.floor(Date.now() / 1_000) > second, { what: 'the next second' })
}

export function secondsAgo(seconds: number): number {
  return Math.floor(Date.now() / 1_000) - seconds
}

async function readForm(req: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk)
  return new URLSearchParams(Buffer.concat(chunks).toString())
}
