import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Lane } from '../queue/catalog.ts'

/** Servers with rows that are due and not leased: whose hint was lost, or whose next try has come. */
export async function serversDue(db: Database): Promise<Array<{ serverId: string; lane: Lane }>> {
  const { rows } = await sql<{ serverId: string; lane: Lane }>`
    select s.id as "serverId", l.lane from server s cross join (values ('urgent', true), ('normal', false)) as l (lane, urgent)
    where exists (
      select from delivery d
      where d.server_id = s.id and d.urgent = l.urgent and d.due_at <= clock_timestamp()
        and (d.leased_until is null or d.leased_until <= clock_timestamp()))
      and (l.urgent or (s.paused_at is null and (s.probe_at is null or s.probe_at <= clock_timestamp())))
    order by l.urgent desc`.execute(db)
  return rows
}
