import { type RawBuilder, sql } from 'kysely'

/**
 * That a row found by a narrower key is of this directory, as a condition that no index serves. Every other index that
 * begins with the directory would do: before there are statistics, or for a directory that is new, all of its rows
 * count as one, and Postgres would as soon read them all as ask the key.
 */
export function isOf(directoryId: string, alias: string): RawBuilder<boolean> {
  return sql`${sql.ref(`${alias}.directory_id`)} is not distinct from ${directoryId}`
}

/** One of these ids; a single one by `=`, so that a prepared statement is planned once. */
export function isAmong(ids: readonly string[], column: string): RawBuilder<boolean> {
  if (ids.length === 0) return sql`false`
  return ids.length === 1 ? sql`${sql.ref(column)} = ${ids[0]}::uuid` : sql`${sql.ref(column)} = any(${ids}::uuid[])`
}
