import { randomBytes, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express, type RequestHandler, type Response } from 'express'
import { createTransmitterKeys, type Signing, type TransmitterKeys } from './ssf-keys.ts'
import { createStream, type Delivery, type PollRequest, type Stream } from './ssf-stream.ts'

type Members = Readonly<Record<string, unknown>>

/** How SETs look. `okta`: the subject in the event, times in milliseconds (sheet §1.7); `google`: as before RFC 9493 (§4.3). */
export type Shape = 'final' | 'okta' | 'google'

export interface TransmitterOptions {
  /** Of the issuer, behind the host. */
  readonly path?: string
  readonly shape?: Shape
  readonly audience?: string
  /** Of streams that one token may have; default: one. */
  readonly mostStreams?: number
  readonly minVerificationSeconds?: number
  /** Published as `risc-configuration`. */
  readonly isRisc?: boolean
  /** Over its metadata; undefined leaves a member out. */
  readonly metadata?: Members
}

/** How an endpoint is answered from now on. */
export interface ApiFault {
  /** Of the path; default: all but the key set and the metadata. */
  readonly path?: RegExp
  readonly method?: string
  /** So many calls are answered as they should be, first. */
  readonly skips?: number
  readonly times?: number
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** What was asked for is done, and the connection breaks instead of an answer. */
  readonly dropsAnswer?: boolean
  /** No answer at all, until the transmitter is closed. */
  readonly hangs?: boolean
  /** Before it is answered. */
  readonly meanwhile?: () => Promise<unknown>
}

export interface Emission extends Signing {
  /** Over the claims of the SET; undefined leaves one out. */
  readonly claims?: Members
  /** Of the event; milliseconds since 1970, default: now. */
  readonly at?: number
}

/** A call to it, without its body where that is signed. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: Members
  readonly body: Members
  readonly status: number
}

/** A transmitter of SETs over HTTP, as the Shared Signals Framework 1.0 has it. */
export interface SsfTransmitter {
  readonly issuer: string
  readonly jwksUri: string
  readonly audience: string
  /** Opens its endpoints. */
  readonly token: string
  readonly endpoints: { readonly configuration: string; readonly status: string; readonly verification: string }
  readonly keys: TransmitterKeys
  readonly streams: readonly Stream[]
  /** Everything that was asked of its endpoints, oldest first. */
  readonly asked: readonly Asked[]
  /** From now on; nothing given: as it should. */
  behave(fault?: ApiFault): void
  revokeToken(): void
  /** Of whom a SET of this `sub` speaks. */
  subject(sub: string): Members
  /** To every stream, whatever it asked for; of a simple or complex subject. @returns the jti */
  emit(type: string, subject: Members | undefined, event?: Members, emission?: Emission): Promise<string>
  /** Whatever it is. */
  send(jti: string, set: string): void
  /** Tells each stream, then does it (SSF 1.0 §8.1.5). */
  setStatus(status: Stream['status'], reason?: string): Promise<void>
  /** A verification that nobody asked for, or answers to a `state` of long ago (P45). */
  verify(state?: string): Promise<string>
  /** Verification events are kept until `release`. */
  withholdVerifications(): void
  release(): Promise<void>
  close(): Promise<void>
}

const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/'
const pushMethods = ['urn:ietf:rfc:8935', 'https://schemas.openid.net/secevent/risc/delivery-method/push']
const pollMethod = 'urn:ietf:rfc:8936'

export async function startSsfTransmitter(options: TransmitterOptions = {}): Promise<SsfTransmitter> {
  const { path = '', shape = 'final', mostStreams = 1, minVerificationSeconds = 0 } = options
  const keys = await createTransmitterKeys()
  const token = randomBytes(40).toString('base64url')
  const streams: Stream[] = []
  const asked: Asked[] = []
  let isOpen = true
  let isClosed = false
  let fault: ApiFault = {}
  let faultsLeft = 0
  let skipsLeft = 0
  let withheld: Array<() => Promise<unknown>> | undefined
  const verifiedAt = new Map<string, number>()

  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const issuer = `${origin}${path}`
  const { audience = `${origin}/receivers/1` } = options
  const endpoints = {
    configuration: `${origin}/ssf/stream`,
    status: `${origin}/ssf/status`,
    verification: `${origin}/ssf/verify`,
  }

  function emission(jti: string, type: string, subject: Members | undefined, event: Members, at: number): Members {
    const iat = Math.floor(Date.now() / 1_000)
    const envelope = { iss: issuer, aud: audience, jti, iat }
    const event_timestamp = shape === 'okta' ? at : Math.floor(at / 1_000)
    if (shape === 'final')
      return { ...envelope, txn: randomUUID(), sub_id: subject, events: { [type]: { event_timestamp, ...event } } }
    const { format, ...members } = subject ?? {}
    const legacy = shape === 'okta' ? subject : { subject_type: String(format).replaceAll('_', '-'), ...members }
    const times = shape === 'okta' ? { event_timestamp } : {}
    return { ...envelope, events: { [type]: { ...times, ...event, subject: legacy } } }
  }

  async function emit(
    type: string,
    subject: Members | undefined,
    event: Members = {},
    { claims = {}, at = Date.now(), ...signing }: Emission = {},
    to: readonly Stream[] = streams,
  ): Promise<string> {
    const jti = String(claims.jti ?? randomUUID())
    const set = await keys.sign({ ...emission(jti, type, subject, event, at), ...claims }, signing)
    for (const stream of to) stream.add({ jti, set })
    return jti
  }

  const aboutStream = ({ config }: Stream) => ({ format: 'opaque', id: config.stream_id })
  const verifyOne = (stream: Stream, state?: string) =>
    emit(`${ssf}verification`, aboutStream(stream), state === undefined ? {} : { state }, {}, [stream])
  const find = (id: unknown) => streams.find(({ config }) => config.stream_id === id)

  app.get([`/.well-known/${options.isRisc ? 'risc' : 'ssf'}-configuration${path.replace(/\/$/, '')}`], (_req, res) => {
    res.json({
      spec_version: '1_0',
      issuer,
      jwks_uri: `${origin}/jwks.json`,
      delivery_methods_supported: [...pushMethods, pollMethod],
      configuration_endpoint: endpoints.configuration,
      status_endpoint: endpoints.status,
      verification_endpoint: endpoints.verification,
      authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }],
      default_subjects: 'ALL',
      ...options.metadata,
    })
  })
  app.get('/jwks.json', async (_req, res) => {
    keys.fetches++
    if (keys.how === 'stalled') return
    if (keys.how === 'broken') return void res.status(500).end()
    if (keys.how === 'garbage') return void res.type('html').send('<html>')
    res.json(await keys.published())
  })

  const note: RequestHandler = (req, res, next) => {
    res.on('close', () =>
      asked.push({
        method: req.method,
        path: req.path,
        query: req.query,
        body: req.body ?? {},
        status: res.statusCode,
      }),
    )
    next()
  }
  const misbehave: RequestHandler = async (req, res, next) => {
    const { path = /^/, method = req.method, status, headers = {}, body, dropsAnswer, hangs, meanwhile } = fault
    if (faultsLeft <= 0 || !path.test(req.path) || method !== req.method) return next()
    if (skipsLeft-- > 0) return next()
    faultsLeft--
    await meanwhile?.()
    if (hangs) return
    if (dropsAnswer) {
      res.end = (() => res.socket?.destroy()) as unknown as Response['end']
      return next()
    }
    if (status === undefined && body === undefined) return next()
    res.set(headers).status(status ?? 200)
    res.type('application/json').send(body ?? '')
  }
  const admit: RequestHandler = (req, res, next) => {
    if (isOpen && req.get('authorization') === `Bearer ${token}`) next()
    else res.status(401).set('WWW-Authenticate', 'Bearer').end()
  }
  app.use(express.json(), note, misbehave, admit)
  addManagement(app, { streams, find, create, mostStreams })

  app.post('/ssf/verify', (req, res) => {
    const stream = find(req.body.stream_id)
    if (!stream) return void res.status(404).end()
    const { stream_id } = stream.config
    const waitMs = (verifiedAt.get(stream_id) ?? 0) + minVerificationSeconds * 1_000 - Date.now()
    if (waitMs > 0)
      return void res
        .status(429)
        .set('Retry-After', String(Math.ceil(waitMs / 1_000)))
        .end()
    verifiedAt.set(stream_id, Date.now())
    res.status(204).end()
    const answer = () => verifyOne(stream, req.body.state)
    if (withheld) withheld.push(answer)
    else setImmediate(answer)
  })
  app.post('/ssf/poll/:id', (req, res) => {
    const stream = find(req.params.id)
    if (!stream) return void res.status(404).end()
    res.json(stream.poll(req.body as PollRequest))
  })

  function create({ delivery, events_requested = [], description }: Members): Stream {
    const stream_id = randomUUID()
    const given = (delivery ?? { method: pollMethod }) as Delivery
    const config = {
      stream_id,
      iss: issuer,
      aud: audience,
      delivery: given.method === pollMethod ? { ...given, endpoint_url: `${origin}/ssf/poll/${stream_id}` } : given,
      events_supported: events_requested as string[],
      events_requested: events_requested as string[],
      events_delivered: events_requested as string[],
      min_verification_interval: minVerificationSeconds,
      inactivity_timeout: 2_592_000,
      ...(description === undefined ? {} : { description: String(description) }),
    }
    return createStream(config, () => isClosed)
  }

  return {
    issuer,
    jwksUri: `${origin}/jwks.json`,
    audience,
    token,
    endpoints,
    keys,
    streams,
    asked,
    behave(next = {}) {
      fault = { path: /^\/ssf\//, ...next }
      skipsLeft = next.skips ?? 0
      faultsLeft = next.times ?? (Object.keys(next).length === 0 ? 0 : Number.POSITIVE_INFINITY)
    },
    revokeToken() {
      isOpen = false
    },
    subject: (sub) => ({ format: 'iss_sub', iss: issuer, sub }),
    emit,
    send(jti, set) {
      for (const stream of streams) stream.add({ jti, set })
    },
    async setStatus(status, reason) {
      for (const stream of streams) {
        await emit(`${ssf}stream-updated`, aboutStream(stream), { status, ...(reason && { reason }) }, {}, [stream])
        await stream.flush()
        stream.status = status
      }
    },
    async verify(state) {
      let last = ''
      for (const stream of streams) last = await verifyOne(stream, state)
      return last
    },
    withholdVerifications() {
      withheld ??= []
    },
    async release() {
      const kept = withheld ?? []
      withheld = undefined
      for (const answer of kept) await answer()
    },
    async close() {
      isClosed = true
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** SSF 1.0 §8.1.1 and §8.1.2. */
function addManagement(
  app: Express,
  {
    streams,
    find,
    create,
    mostStreams,
  }: {
    streams: Stream[]
    find: (id: unknown) => Stream | undefined
    create: (asked: Members) => Stream
    mostStreams: number
  },
): void {
  const answer = (res: Response, id: unknown, say: (stream: Stream) => void): void => {
    const stream = find(id)
    if (stream) say(stream)
    else res.status(404).end()
  }
  const settled = ({ method, ...given }: Delivery, id: string, host: string): Delivery => ({
    method,
    ...given,
    ...(method === pollMethod && { endpoint_url: `http://${host}/ssf/poll/${id}` }),
  })

  app
    .route('/ssf/stream')
    .post((req, res) => {
      if (streams.length >= mostStreams) return void res.status(409).end()
      const stream = create(req.body)
      streams.push(stream)
      res.status(201).json(stream.config)
    })
    .get((req, res) => {
      if (req.query.stream_id === undefined) return void res.json(streams.map(({ config }) => config))
      answer(res, req.query.stream_id, ({ config }) => void res.json(config))
    })
    .patch((req, res) =>
      answer(res, req.body.stream_id, ({ config }) => {
        const { delivery, events_requested, description } = req.body
        if (delivery) config.delivery = settled(delivery, config.stream_id, req.get('host')!)
        if (events_requested) Object.assign(config, { events_requested, events_delivered: events_requested })
        if (description) config.description = description
        res.json(config)
      }),
    )
    .put((req, res) =>
      answer(res, req.body.stream_id, ({ config }) => {
        const { delivery, events_requested = [], description } = req.body
        // Whatever is left out is gone (P44).
        config.delivery = settled(delivery ?? { method: pollMethod }, config.stream_id, req.get('host')!)
        Object.assign(config, { events_requested, events_delivered: events_requested, description })
        res.json(config)
      }),
    )
    .delete((req, res) =>
      answer(res, req.query.stream_id, (stream) => {
        streams.splice(streams.indexOf(stream), 1)
        res.status(204).end()
      }),
    )

  const statusOf = ({ config, status, reason }: Stream) => ({
    stream_id: config.stream_id,
    status,
    ...(reason && { reason }),
  })
  app
    .route('/ssf/status')
    .get((req, res) => answer(res, req.query.stream_id, (stream) => void res.json(statusOf(stream))))
    .post((req, res) =>
      answer(res, req.body.stream_id, (stream) => {
        stream.status = req.body.status
        stream.reason = req.body.reason
        res.json(statusOf(stream))
        void stream.flush()
      }),
    )
}
