/**
 * How one kind of server is told. Adding a kind is adding a folder that fills this in.
 *
 * What the far side says is a value, never an exception: a refusal is recorded and retried by schedule like any other
 * fact. An implementation throws only for a bug of its own.
 */
export interface Connector {
  readonly kind: string
  /** Idempotent on `message.id`. `signal` aborts the request, which then counts as `unanswered`. */
  send(target: ConnectorTarget, message: ConnectorMessage, signal: AbortSignal): Promise<Outcome>
}

/** Where and with what: the connector's row, its secrets opened. Never logged. */
export interface ConnectorTarget {
  readonly connectorId: string
  readonly serverId: string
  readonly config: Readonly<Record<string, unknown>>
  /** Every secret that must still be honoured, newest first. */
  readonly secrets: readonly string[]
}

/** One generation of one user at one server. `id` and `body` are the same for every attempt of it (design of webhooks: README). */
export interface ConnectorMessage {
  readonly id: string
  readonly body: string
}

export type Outcome =
  | { readonly kind: 'applied'; readonly status?: number }
  | { readonly kind: 'unchanged'; readonly status?: number }
  | {
      readonly kind: 'refused'
      readonly reason: string
      readonly status?: number
      /** 410: stop the normal lane */
      readonly gone?: boolean
    }
  | { readonly kind: 'unavailable'; readonly reason: string; readonly status?: number; readonly retryAfterMs?: number }
  /** The request may have arrived and its answer did not. */
  | { readonly kind: 'unanswered'; readonly reason: string }
