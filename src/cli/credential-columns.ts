import type { Column } from './table.ts'
import { relative } from './times.ts'

interface Credential {
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly lastUsedAt: string | null
}

/** What tells whether a key, token or credential is still wanted: the same for all of them. */
export function credentialColumns(now: Date): Array<Column<Credential>> {
  const orNever = (time: string | null) => (time ? relative(time, now) : 'never')
  return [
    { head: 'CREATED', value: ({ createdAt }) => relative(createdAt, now) },
    { head: 'EXPIRES', value: ({ expiresAt }) => orNever(expiresAt) },
    { head: 'LAST USED', value: ({ lastUsedAt }) => orNever(lastUsedAt) },
  ]
}
