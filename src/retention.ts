/**
 * Days for which each kind of row is kept once nothing depends on it; undefined: for ever. The ledger is not among them:
 * it is kept for ever.
 */
export interface Retention {
  /** Single tries of a delivery. What came of it stands on the delivery and in the ledger. */
  readonly attempt: number | undefined
  /** Lifecycle events. Each cut stands in the ledger. */
  readonly lifecycle_event: number | undefined
  /** What event channels told. One that is sent again later counts as new: no sender tries for so long. */
  readonly inbound_event: number | undefined
  /** Grants, from when they were closed or expired. */
  readonly access_grant: number | undefined
  /** Deleted users with all that names them, once every server has heard. */
  readonly tombstone: number | undefined
  /** What operators did. */
  readonly admin_action: number | undefined
  /** Admin keys, SCIM tokens and server credentials, from when they expired. */
  readonly credential: number | undefined
}

export const defaultRetention: Retention = {
  attempt: 90,
  lifecycle_event: 730,
  inbound_event: 90,
  access_grant: 730,
  tombstone: 730,
  admin_action: 730,
  credential: 30,
}

/** An event may wait for its user for 7 days, and its transmitter may send it again until then. */
const leastInbound = 8

/**
 * Reads `attempt=30 tombstone=forever`: what is not named keeps its default.
 *
 * @throws RangeError that says what is wrong
 */
export function parseRetention(text: string): Retention {
  const given = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((part) => {
      const [name, value] = part.split('=', 2) as [string, string | undefined]
      if (!Object.hasOwn(defaultRetention, name))
        throw new RangeError(`"${name}" is none of ${Object.keys(defaultRetention).join(', ')}`)
      if (value === 'forever') return [name, undefined] as const
      if (!/^[1-9]\d{0,4}$/.test(value ?? '')) throw new RangeError(`${name} must be a number of days, or forever`)
      if (name === 'inbound_event' && Number(value) < leastInbound)
        throw new RangeError(
          `inbound_event must be ${leastInbound} days or more: senders repeat themselves for that long`,
        )
      return [name, Number(value)] as const
    })
  return { ...defaultRetention, ...Object.fromEntries(given) }
}
