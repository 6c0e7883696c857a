import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { fold } from '../fold.ts'
import type { SubjectAttribute } from '../lifecycle/linking.ts'
import { isOf } from './by-key.ts'

/**
 * The ids of the living users whom a `sub` names, as an identity provider states it: none, one, or two for any more. An
 * `email` is a userName or a primary address, without case; linking.ts says the same of one user.
 */
export async function findSubject(
  executor: Executor,
  directoryId: string,
  attribute: SubjectAttribute,
  sub: string,
  { mustBeActive = false } = {},
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`${prepared}
    select id from scim_user
    where ${named(attribute, sub)} and ${isOf(directoryId, 'scim_user')} and deleted_at is null
      ${mustBeActive ? sql`and active` : sql``} limit 2`.execute(executor)
  return rows.map(({ id }) => id)
}

function named(attribute: SubjectAttribute, sub: string): RawBuilder<unknown> {
  if (attribute === 'externalId') return sql`external_id = ${sub}`
  const byUserName = sql`user_name_key = ${fold(sub)}`
  if (attribute === 'userName') return byUserName
  // The first condition is there for its index, the second for whose address is the primary one.
  return sql`(${byUserName} or (
    folded -> 'emails' @> ${JSON.stringify([{ value: fold(sub) }])}::jsonb and ${primaryEmail} = ${fold(sub)}))`
}

const primaryEmail = sql`
  coalesce(jsonb_path_query_first(folded, '$.emails[*] ? (@.primary == true)'), folded #> '{emails,0}') ->> 'value'`
