import type pg from 'pg'
import { foldDocument } from '../../src/directory/folded.ts'
import { newResourceId } from '../../src/ids.ts'
import { userResourceType } from '../../src/schemas/user.ts'
import { userSchema } from './clients.ts'

export interface Person {
  readonly id: string
  readonly userName: string
}

/**
 * Thousands of users of a directory, written as SCIM would have written them but in one statement, with their hints lost:
 * it is the workers that bring them to the servers.
 *
 * @param group the id of one that all are put into
 */
export async function insertPeople(
  database: pg.Client,
  people: { directory: string; prefix: string; count: number; group?: string },
): Promise<Person[]> {
  const rows = Array.from({ length: people.count }, (_, index) => {
    const userName = `${people.prefix}-${index}@acme.example`
    const document = {
      schemas: [userSchema],
      userName,
      displayName: `${people.prefix} ${index}`,
      externalId: `ext-${userName}`,
      emails: [{ primary: true, value: userName, type: 'work' }],
      active: true,
    }
    return { id: newResourceId(), userName, document, folded: foldDocument(userResourceType, document) }
  })
  await database.query(
    `with given as materialized (
       select g.*, row_number() over () as n from jsonb_to_recordset($1::jsonb) as g (id uuid, "userName" text, document jsonb, folded jsonb)
     ), users as (
       insert into scim_user (id, directory_id, user_name_key, external_id, active, document, folded)
       select id, $2, "userName", document ->> 'externalId', true, document, folded from given
     ), states as (
       insert into user_state (user_id, directory_id, converge_due_at) select id, $2, clock_timestamp() from given
     ), members as (
       insert into group_user (group_id, user_id) select $3::uuid, id from given where $3::uuid is not null
     )
     insert into lifecycle_event (id, directory_id, user_id, kind, source, occurred_at)
     select 'evt_' || id, $2, id, 'joined', 'scim', clock_timestamp() from given`,
    [JSON.stringify(rows), people.directory, people.group ?? null],
  )
  return rows.map(({ id, userName }) => ({ id, userName }))
}

/** Calls made at most `parallel` at a time, as an identity provider with a big import makes them. */
export async function forEach<T>(
  items: readonly T[],
  parallel: number,
  call: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = items.values()
  const lane = async () => {
    for (const item of left) await call(item)
  }
  await Promise.all(Array.from({ length: parallel }, lane))
}
