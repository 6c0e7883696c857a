import { request } from 'node:http'

/** One SET on its way to a receiver. */
export interface Outgoing {
  readonly jti: string
  readonly set: string
}

export interface StreamConfig {
  stream_id: string
  iss: string
  aud: string
  delivery: Delivery
  events_supported: readonly string[]
  events_requested: readonly string[]
  events_delivered: readonly string[]
  min_verification_interval: number
  inactivity_timeout: number
  description?: string
}

export interface Delivery {
  method: string
  endpoint_url: string
  authorization_header?: string
}

/** One try to push a SET: `none`, the call was not answered. */
export interface PushAttempt {
  readonly jti: string
  readonly status: number | 'none'
  readonly err?: string
}

/** How a stream goes about it from now on. None of this is forbidden to a transmitter. */
export interface DeliveryFaults {
  /** Each SET is given twice, although it was taken. */
  readonly duplicates?: boolean
  /** The newest first. */
  readonly reverses?: boolean
  /** Kept until `flush`. */
  readonly holdsBack?: boolean
  /** What was acknowledged comes again, once. */
  readonly forgetsAcks?: boolean
}

export interface SetError {
  readonly err: string
  readonly description?: string
}

/** A stream at work: what it still has to deliver, and what became of the rest. */
export interface Stream {
  readonly config: StreamConfig
  status: 'enabled' | 'paused' | 'disabled'
  reason?: string
  /** In the order in which they were made; a transmitter that is polled has given some of them already. */
  readonly waiting: readonly Outgoing[]
  readonly attempts: readonly PushAttempt[]
  /** By jti, in the order in which they were told. */
  readonly acknowledged: readonly string[]
  readonly refused: ReadonlyMap<string, SetError>
  /** How often each SET was given, by jti. */
  readonly given: ReadonlyMap<string, number>
  behave(faults?: DeliveryFaults): void
  add(set: Outgoing): void
  /** Pushes what is due, or what was held back; resolves when all of it was tried. */
  flush(): Promise<void>
  /** RFC 8936. */
  poll(asked: PollRequest): { sets: Record<string, string>; moreAvailable: boolean }
}

export interface PollRequest {
  readonly maxEvents?: number
  readonly returnImmediately?: boolean
  readonly ack?: readonly string[]
  readonly setErrs?: Readonly<Record<string, SetError>>
}

const pushMethod = 'urn:ietf:rfc:8935'
const timeoutMs = 5_000
/** Retries after trouble that may pass: quicker than anybody's, since a test waits for them. */
const retriesMs = [50, 200, 800, 2_000]

/** @param ended becomes true when the transmitter is closed */
export function createStream(config: StreamConfig, ended: () => boolean): Stream {
  let waiting: Outgoing[] = []
  const attempts: PushAttempt[] = []
  const acknowledged: string[] = []
  const refused = new Map<string, SetError>()
  const given = new Map<string, number>()
  let faults: DeliveryFaults = {}
  const underWay = new Set<Promise<void>>()

  function done(jti: string): void {
    if (faults.forgetsAcks) faults = { ...faults, forgetsAcks: false }
    else waiting = waiting.filter((each) => each.jti !== jti)
  }

  /** Until it is taken, refused for good, or there is no retry left. */
  async function push({ jti, set }: Outgoing): Promise<void> {
    for (const waitMs of [0, ...retriesMs]) {
      await new Promise((resolve) => setTimeout(resolve, waitMs))
      if (ended() || stream.status !== 'enabled') return
      given.set(jti, (given.get(jti) ?? 0) + 1)
      const { status, body } = await post(config.delivery, set)
      const err = errorIn(body)
      attempts.push({ jti, status, ...(err && { err: err.err }) })
      if (status === 202) acknowledged.push(jti)
      else if (err && status === 400) refused.set(jti, err)
      // RFC 8935 §2.3: only trouble that may pass is a reason to send it again.
      if (status !== 'none' && status < 500 && status !== 429) return done(jti)
    }
  }

  const stream: Stream = {
    config,
    status: 'enabled',
    get waiting() {
      return waiting
    },
    attempts,
    acknowledged,
    refused,
    given,
    behave(next = {}) {
      faults = next
    },
    add(set) {
      if (stream.status === 'disabled') return
      waiting.push(set)
      if (faults.duplicates && config.delivery.method === pushMethod) waiting.push(set)
      if (!faults.holdsBack) void stream.flush()
    },
    async flush() {
      if (config.delivery.method !== pushMethod || stream.status !== 'enabled') return
      const due = (faults.reverses ? waiting.toReversed() : [...waiting]).filter(({ jti }) => !given.has(jti))
      for (const { jti } of due) given.set(jti, 0)
      const all = Promise.all(due.map(push)).then(() => {})
      underWay.add(all)
      await Promise.all(underWay)
      underWay.delete(all)
    },
    poll({ maxEvents = 100, ack = [], setErrs = {} }) {
      for (const jti of ack) {
        if (waiting.some((each) => each.jti === jti)) acknowledged.push(jti)
        done(jti)
      }
      for (const [jti, error] of Object.entries(setErrs)) {
        refused.set(jti, error)
        done(jti)
      }
      if (stream.status !== 'enabled') return { sets: {}, moreAvailable: false }
      const held = faults.holdsBack ? [] : faults.reverses ? waiting.toReversed() : waiting
      const page = held.slice(0, maxEvents)
      for (const { jti } of page) given.set(jti, (given.get(jti) ?? 0) + 1)
      return {
        sets: Object.fromEntries(page.map(({ jti, set }) => [jti, set])),
        moreAvailable: held.length > page.length,
      }
    },
  }
  return stream
}

/** RFC 8935 §2.1; the authorization exactly as it was configured. */
function post(
  { endpoint_url, authorization_header }: Delivery,
  set: string,
): Promise<{ status: number | 'none'; body: string }> {
  return new Promise((resolve) => {
    const headers = {
      'content-type': 'application/secevent+jwt',
      accept: 'application/json',
      ...(authorization_header !== undefined && { authorization: authorization_header }),
    }
    const call = request(endpoint_url, { method: 'POST', headers, timeout: timeoutMs }, (res) => {
      let body = ''
      res.setEncoding('utf8')
      res.on('data', (chunk) => {
        body += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode!, body }))
      res.on('error', () => resolve({ status: 'none', body: '' }))
    })
    call.on('timeout', () => call.destroy())
    call.on('error', () => resolve({ status: 'none', body: '' }))
    call.end(set)
  })
}

function errorIn(body: string): SetError | undefined {
  return body.startsWith('{') ? (JSON.parse(body) as SetError) : undefined
}
