import { randomUUID } from 'node:crypto'

/** Somebody or something of an entry: who did it, or to what it was done. */
export interface Party {
  readonly id: string
  readonly type: string
  readonly alternateId: string
  readonly displayName: string
  readonly detailEntry: Readonly<Record<string, unknown>> | null
}

/** An entry of Okta's System Log, as its API and its event hooks render it. */
export interface LogEvent {
  readonly uuid: string
  readonly published: string
  readonly eventType: string
  readonly version: string
  readonly severity: string
  readonly displayMessage: string
  readonly actor: Party
  readonly client: Readonly<Record<string, unknown>>
  readonly outcome: { readonly result: string; readonly reason: string | null }
  /** In no promised order. */
  readonly target: readonly Party[]
  readonly transaction: {
    readonly type: string
    readonly id: string
    readonly detail: Readonly<Record<string, unknown>>
  }
  readonly authenticationContext: Readonly<Record<string, unknown>>
  readonly debugContext: { readonly debugData: Readonly<Record<string, unknown>> }
}

/** An entry of now about `target`, done by an admin unless it says otherwise. */
export function logEvent(eventType: string, target: readonly Party[], fields: Partial<LogEvent> = {}): LogEvent {
  return {
    uuid: randomUUID(),
    published: new Date().toISOString(),
    eventType,
    version: '0',
    severity: 'INFO',
    displayMessage: eventType,
    actor: admin,
    client: { id: null, ipAddress: '192.0.2.10', userAgent: {} },
    outcome: { result: 'SUCCESS', reason: null },
    target,
    transaction: { type: 'WEB', id: randomUUID(), detail: {} },
    authenticationContext: { externalSessionId: `idx${randomUUID()}` },
    debugContext: { debugData: {} },
    ...fields,
  }
}

const admin = party('00uadmin000000000001', 'User', 'admin@acme.example', 'An Admin')

export function party(id: string, type: string, alternateId = 'unknown', displayName = alternateId): Party {
  return { id, type, alternateId, displayName, detailEntry: null }
}
