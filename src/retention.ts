/**
 * Days for which each kind of row is kept once nothing depends on it; undefined: for ever. The ledger is not among them:
 * it is kept for ever.
 */
export interface Retention {
  /** Single tries of a delivery. What came of it stands on the delivery and in the ledger. */
  readonly attempt: number | undefined
  /** Lifecycle events. Each cut stands in the ledger. */
  readonly lifecycle_event: number | undefined
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
  access_grant: 730,
  tombstone: 730,
  admin_action: 730,
  credential: 30,
}

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
      return [name, Number(value)] as const
    })
  return { ...defaultRetention, ...Object.fromEntries(given) }
}
