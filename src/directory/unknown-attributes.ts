import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { retrying } from '../db/transaction.ts'
import { fold } from '../fold.ts'
import type { Logger } from '../log.ts'

/** What an identity provider sends and no schema knows. Never a value. */
export interface UnknownAttribute {
  readonly resourceType: 'User' | 'Group'
  /** As it was first spelled. */
  readonly path: string
  /** In how many requests. */
  readonly occurrences: number
  /** Both to the minute. */
  readonly firstSeenAt: Date
  readonly lastSeenAt: Date
}

/** Of a directory. A provider that made names up could fill the table. */
const mostPaths = 200
const longestPath = 200
const mostPending = 10_000

interface Sighting {
  readonly directoryId: string
  readonly resourceType: 'User' | 'Group'
  readonly path: string
  readonly occurrences: number
}

/**
 * The unknown attributes of each directory. Noting one costs a request nothing: they are counted in this process and
 * written at most once in `everyMs`; what cannot be written waits for the next time.
 */
export function createUnknownAttributes({
  db,
  log,
  everyMs = 60_000,
}: {
  db: Database
  log: Pick<Logger, 'warn'>
  everyMs?: number
}) {
  const pending = new Map<string, Sighting>()
  let writing: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let writtenAtMs = Number.NEGATIVE_INFINITY

  return {
    note(directoryId: string, resourceType: 'User' | 'Group', paths: readonly string[]): void {
      for (const path of paths.slice(0, mostPaths))
        count({ directoryId, resourceType, path: bounded(path), occurrences: 1 })
      if (pending.size > 0) timer ??= setTimeout(write, Math.max(0, writtenAtMs + everyMs - performance.now())).unref()
    },

    /** By resource type and name. `after`: the key of the last one of the page before. */
    async list(directoryId: string, page: { limit: number; after?: string }): Promise<UnknownAttribute[]> {
      const { rows } = await sql<UnknownAttribute>`
        select resource_type as "resourceType", path, occurrences, first_seen_at as "firstSeenAt", last_seen_at as "lastSeenAt"
        from unknown_attribute
        where directory_id = ${directoryId} and resource_type || ' ' || path_key > ${page.after ?? ''}
        order by resource_type || ' ' || path_key limit ${page.limit}`.execute(db)
      return rows
    },

    /** Writes what is still remembered. */
    async close(): Promise<void> {
      clearTimeout(timer)
      await writing
      await flush()
    },
  }

  function count(sighting: Sighting): void {
    const key = [sighting.directoryId, sighting.resourceType, pathKey(sighting.path)].join('\n')
    const known = pending.get(key)
    if (known) pending.set(key, { ...known, occurrences: known.occurrences + sighting.occurrences })
    else if (pending.size < mostPending) pending.set(key, sighting)
  }

  function write(): void {
    writtenAtMs = performance.now()
    writing = flush()
      .catch((error) => log.warn({ error }, 'unknown_attributes.not_noted'))
      .finally(() => {
        timer = pending.size > 0 ? setTimeout(write, everyMs).unref() : undefined
      })
  }

  async function flush(): Promise<void> {
    const sightings = [...pending.values()]
    if (sightings.length === 0) return
    pending.clear()
    try {
      await retrying(() => store(db, sightings))
    } catch (error) {
      for (const sighting of sightings) count(sighting)
      throw error
    }
  }
}

export type UnknownAttributes = ReturnType<typeof createUnknownAttributes>

/** The key by which `list` orders. */
export function keyOf({ resourceType, path }: UnknownAttribute): string {
  return `${resourceType} ${pathKey(path)}`
}

function bounded(path: string): string {
  return path.slice(0, longestPath).toWellFormed()
}

/** Folding can lengthen a text. */
function pathKey(path: string): string {
  return bounded(fold(path))
}

/** New names only while the directory has fewer than it may have; two processes at once may go a little over. */
async function store(db: Database, sightings: readonly Sighting[]): Promise<void> {
  const column = <K extends keyof Sighting>(name: K) => sightings.map((each) => each[name])
  await sql`
    with noted as (
      select * from unnest(${column('directoryId')}::text[], ${column('resourceType')}::text[], ${column('path')}::text[],
        ${sightings.map(({ path }) => pathKey(path))}::text[], ${column('occurrences')}::bigint[])
        as n (directory_id, resource_type, path, path_key, occurrences)
    ), again as (
      update unknown_attribute u set occurrences = u.occurrences + n.occurrences, last_seen_at = clock_timestamp()
      from noted n
      where (u.directory_id, u.resource_type, u.path_key) = (n.directory_id, n.resource_type, n.path_key)
    ), new as (
      select n.*, row_number() over (partition by n.directory_id order by n.resource_type, n.path_key) as place
      from noted n join directory d on d.id = n.directory_id and d.deleted_at is null
      where not exists (
        select from unknown_attribute u
        where (u.directory_id, u.resource_type, u.path_key) = (n.directory_id, n.resource_type, n.path_key))
    )
    insert into unknown_attribute (directory_id, resource_type, path, path_key, occurrences)
    select directory_id, resource_type, path, path_key, occurrences from new
    where place + (select count(*) from unknown_attribute u where u.directory_id = new.directory_id) <= ${mostPaths}
    on conflict do nothing`.execute(db)
}
