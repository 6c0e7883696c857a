import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { Invalid, NotFound } from '../errors.ts'
import { fold } from '../fold.ts'
import { isResourceId } from '../ids.ts'
import { isOf } from './by-key.ts'

/** A user as operators and servers name one, within a directory. */
export type UserReference = { readonly id: string } | { readonly userName: string } | { readonly externalId: string }

/**
 * The id of the living user that is meant; `id` finds a deleted one too, whose history is still to be read.
 *
 * @throws NotFound; Invalid when an externalId names several
 */
export async function findUser(db: Database, directoryId: string, reference: UserReference): Promise<string> {
  const where =
    'id' in reference
      ? sql<boolean>`id = ${isResourceId(reference.id) ? reference.id : null}::uuid`
      : 'userName' in reference
        ? sql<boolean>`user_name_key = ${fold(reference.userName)} and deleted_at is null`
        : sql<boolean>`external_id = ${reference.externalId} and deleted_at is null`
  const rows = await db
    .selectFrom('scim_user')
    .select('id')
    .where(isOf(directoryId, 'scim_user'))
    .where(where)
    .limit(2)
    .execute()
  if (rows.length > 1)
    throw new Invalid('Several users share this externalId', [
      { field: 'user.externalId', message: 'names several users' },
    ])
  if (!rows[0]) throw new NotFound(`No such user in directory "${directoryId}"`)
  return rows[0].id
}
