import { randomBytes } from 'node:crypto'
import express, { type Express, type Request, type RequestHandler, type Response } from 'express'
import type { Employee } from '../../../src/demo/company.ts'
import { refuse, type SystemLog } from './okta-log.ts'

export type OktaStatus =
  | 'STAGED'
  | 'PROVISIONED'
  | 'ACTIVE'
  | 'PASSWORD_EXPIRED'
  | 'RECOVERY'
  | 'LOCKED_OUT'
  | 'SUSPENDED'
  | 'DEPROVISIONED'

/** Somebody in the org; whoever has the app is known by SCIM too. */
export interface OktaUser extends Employee {
  status: OktaStatus
  hasApp: boolean
}

/** How the API is answered from now on. */
export interface ApiFault {
  /** Of the path; default all. */
  readonly path?: RegExp
  readonly times?: number
  /** Instead of what was asked for; 429 carries when to come again. */
  readonly status?: number
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** The answer is ready, and leaves only after this. */
  readonly meanwhile?: (req: Request) => Promise<unknown>
  /** No answer at all; its connection is closed with the org. */
  readonly stalls?: boolean
}

export interface OktaApi {
  readonly app: Express
  /** `SSWS …` and `Bearer …`, as they are sent; either opens everything. */
  readonly apiToken: string
  readonly accessToken: string
  /** Paths with their queries, refused ones too, oldest first. */
  readonly requests: readonly string[]
  /** From now on; nothing given: as Okta does. */
  behave(fault?: ApiFault): void
  /** Of the requests of a minute, so many are left, for everybody in the org. */
  limit(of: { limit: number; remaining: number; resetInSeconds: number }): void
  revokeTokens(): void
  /** What tokens may do: `okta.logs.read`, `okta.users.read`, `okta.apps.read`. */
  scope(...scopes: readonly string[]): void
}

export function createOktaApi(log: SystemLog, find: (idOrLogin: string) => OktaUser | undefined): OktaApi {
  const tokens = new Set([`SSWS 00${randomBytes(30).toString('base64url')}`, `Bearer ${opaqueJwt()}`])
  const [apiToken, accessToken] = [...tokens] as [string, string]
  const requests: string[] = []
  let scopes: readonly string[] = ['okta.logs.read', 'okta.users.read', 'okta.apps.read']
  let fault: ApiFault = {}
  let left = 0
  let rate = { limit: 120, remaining: 120, resetAt: 0 }

  const admit: RequestHandler = (req, res, next) => {
    requests.push(req.originalUrl)
    if (rate.resetAt < Date.now()) rate = { ...rate, remaining: rate.limit, resetAt: Date.now() + 60_000 }
    const isOver = rate.remaining <= 0
    rate.remaining = Math.max(0, rate.remaining - 1)
    res.set({
      'X-Rate-Limit-Limit': String(rate.limit),
      'X-Rate-Limit-Remaining': String(rate.remaining),
      'X-Rate-Limit-Reset': String(Math.ceil(rate.resetAt / 1_000)),
    })
    if (isOver) return refuse(res, 429, 'E0000047', 'API call exceeded rate limit due to too many requests.')
    if (!tokens.has(req.get('authorization') ?? '')) return refuse(res, 401, 'E0000011', 'Invalid token provided')
    next()
  }

  const misbehave: RequestHandler = (req, res, next) => {
    const { path = /^/, status, body, headers = {}, meanwhile, stalls } = fault
    if (!path.test(req.path) || left-- <= 0) return next()
    if (stalls) return
    if (meanwhile) holdBack(res, () => meanwhile(req))
    for (const [name, value] of Object.entries(headers)) holdHeader(res, name, value)
    if (status === undefined && body === undefined) return next()
    res.status(status ?? 200).set(headers)
    if (body !== undefined) res.type('application/json').send(body)
    else refuse(res, status!, status === 429 ? 'E0000047' : 'E0000009', 'Something went wrong')
  }

  const needs =
    (scope: string): RequestHandler =>
    (_req, res, next) =>
      scopes.includes(scope)
        ? next()
        : refuse(res, 403, 'E0000006', 'You do not have permission to perform the requested action')

  const app = express()
  app.use('/api/v1', admit, misbehave)
  app.get('/api/v1/logs', needs('okta.logs.read'), (req, res) => log.answer(req, res))
  app.get('/api/v1/users/:id', needs('okta.users.read'), (req, res) => {
    const user = find(String(req.params.id))
    if (user) res.json(render(user))
    else refuse(res, 404, 'E0000007', `Not found: Resource not found: ${req.params.id} (User)`)
  })

  app.get('/api/v1/apps/:app/users/:id', needs('okta.apps.read'), (req, res) => {
    const user = find(String(req.params.id))
    if (user?.hasApp) res.json({ id: user.oktaId, scope: 'USER', status: 'PROVISIONED' })
    else refuse(res, 404, 'E0000007', `Not found: Resource not found: ${req.params.id} (AppUser)`)
  })

  return {
    app,
    apiToken,
    accessToken,
    requests,
    behave(next = {}) {
      fault = next
      left = next.times ?? (Object.keys(next).length === 0 ? 0 : Number.POSITIVE_INFINITY)
    },
    limit({ limit, remaining, resetInSeconds }) {
      rate = { limit, remaining, resetAt: Date.now() + resetInSeconds * 1_000 }
    },
    revokeTokens: () => tokens.clear(),
    scope(...given) {
      scopes = given
    },
  }
}

function render({ oktaId, userName, givenName, familyName, status }: OktaUser) {
  return {
    id: oktaId,
    status,
    profile: { login: userName, email: userName, firstName: givenName, lastName: familyName },
  }
}

/** Three parts, as an access token of an org has. */
function opaqueJwt(): string {
  return [12, 60, 32].map((bytes) => randomBytes(bytes).toString('base64url')).join('.')
}

/** The body is made now, and sent once `until` is done. */
function holdBack(res: Response, until: () => Promise<unknown>): void {
  const send = res.json.bind(res)
  res.json = (body) => {
    void until().then(() => send(body))
    return res
  }
}

/** Over whatever is set later. */
function holdHeader(res: Response, name: string, value: string): void {
  const send = res.json.bind(res)
  res.json = (body) => send.call(res.set(name, value), body)
}
