import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { compileFilter } from '../directory/filter-sql.ts'
import { onlyDirectory } from '../directory/only-directory.ts'
import type { Users } from '../directory/users.ts'
import type { ExplainAccess } from '../entitlement/why.ts'
import { NotFound } from '../errors.ts'
import { filterOf } from '../filter/errors.ts'
import { parseFilter } from '../filter/parse.ts'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { isResourceId, UUID } from '../ids.ts'
import type { Grants } from '../ledger/grants.ts'
import { userResourceType } from '../schemas/user.ts'
import { actorOf } from './auth.ts'
import { entitlement, readEntitlements } from './entitlements.ts'
import { grant } from './grants.ts'
import { readTimeline, timelineItem } from './timeline.ts'
import { whyOperation } from './why.ts'

export const user = z
  .object({
    id: z.string(),
    directory: z.string(),
    userName: z.string(),
    externalId: z.string().nullable(),
    displayName: z.string().nullable(),
    active: z.boolean(),
    deleted: z.boolean(),
    hold: z
      .object({ source: z.string(), at: instant })
      .nullable()
      .meta({ description: 'A cut that the identity provider has yet to confirm over SCIM' }),
    epoch: z.int().meta({ description: 'Counts the cuts: grants of an earlier epoch are dead' }),
    notBefore: instant.nullable().meta({ description: 'The last cut: tokens issued before are void' }),
    behind: z.boolean().meta({ description: 'Whether servers have yet to be told of something' }),
    groups: z.array(z.object({ id: z.string(), displayName: z.string() })),
  })
  .meta({ id: 'User' })

const userWithAccess = z
  .object({ ...user.shape, entitlements: z.array(entitlement), grants: z.array(grant) })
  .meta({ id: 'UserWithAccess' })

type User = z.input<typeof user>

const userView = sql`
  u.id, u.directory_id as directory, u.document ->> 'userName' as "userName", u.external_id as "externalId", u.document ->> 'displayName' as "displayName",
  u.active, u.deleted_at is not null as deleted, s.hold_source as "holdSource", s.hold_at as "holdAt",
  s.epoch, s.not_before as "notBefore", s.version > s.converged_version as behind,
  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'displayName', g.display_name) order by g.display_name), '[]')
   from group_user m join scim_group g on g.id = m.group_id where m.user_id = u.id) as groups`

type UserRow = Omit<User, 'hold'> & { holdSource: string | null; holdAt: Date | null }

const tag = 'Users'

/** `/users`: one person's access, how it came about, and the emergency cut. */
export function userOperations({
  db,
  explainAccess,
  users,
  grants,
}: {
  db: Database
  explainAccess: ExplainAccess
  users: Users
  grants: Grants
}): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/users',
      operationId: 'listUsers',
      summary: 'List the users of a directory',
      tag,
      query: pageQuery.extend({
        directory: z.string().optional().meta({ description: 'May be left out while there is exactly one' }),
        filter: z.string().optional().meta({
          description: 'SCIM filter, over what SCIM shows: of groups those that the user is in directly',
          example: 'userName sw "ada"',
        }),
      }),
      answers: { 200: pageOf(user) },
      async handle({ query: { directory, filter, limit, cursor } }) {
        const after = cursorKey(cursor, UUID)
        const { rows } = await sql<UserRow>`
          select ${userView} from scim_user u join user_state s on s.user_id = u.id
          where u.directory_id = ${directory ?? (await onlyDirectory(db))} and u.deleted_at is null and ${compiled(filter)}
            and ${after === undefined ? sql`true` : sql`u.id > ${after}::uuid`}
          order by u.id limit ${limit}`.execute(db)
        return listed(rows.map(shown), limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/users/{id}',
      operationId: 'getUser',
      summary: 'Show a user with their access',
      description: 'With every entitlement, and the newest hundred grants.',
      tag,
      answers: { 200: userWithAccess },
      async handle({ params }) {
        const user = await find(params.id)
        return {
          ...user,
          entitlements: await readEntitlements(db, user.id),
          grants: await grants.list({ userId: user.id, limit: 100 }),
        }
      },
    }),
    whyOperation({ explainAccess }),
    operation({
      method: 'get',
      path: '/users/{id}/timeline',
      operationId: 'getUserTimeline',
      summary: 'Show what happened to a user, in time order',
      description: 'Events, cuts, entitlements, grants, attempts and deliveries; the newest thousand.',
      tag,
      answers: { 200: pageOf(timelineItem) },
      async handle({ params }) {
        const { id } = await find(params.id)
        return { items: await readTimeline(db, id), next: null }
      },
    }),
    operation({
      method: 'post',
      path: '/users/{id}/release',
      operationId: 'releaseUser',
      summary: 'End a hold',
      description: 'The user has what the rules give again. What was cut stays dead.',
      tag,
      answers: { 200: user, 409: problem },
      async handle({ params, req }) {
        const { id } = await find(params.id)
        await users.release(id, { source: 'admin', actor: actorOf(req), requestId: req.id })
        return find(id)
      },
    }),
    operation({
      method: 'post',
      path: '/users/{id}/cut',
      operationId: 'cutUser',
      summary: 'Cut a user off now',
      description:
        'Voids every grant issued so far and tells every server. The rules still hold: new grants may be given.',
      tag,
      answers: { 200: user },
      async handle({ params, req }) {
        const { id } = await find(params.id)
        await users.cut(id, { source: 'admin', actor: actorOf(req), requestId: req.id })
        return find(id)
      },
    }),
  ]

  async function find(id: string): Promise<User> {
    const { rows } = await sql<UserRow>`
      select ${userView} from scim_user u join user_state s on s.user_id = u.id
      where u.id = ${isResourceId(id) ? id : null}::uuid`.execute(db)
    if (!rows[0]) throw new NotFound(`User "${id}" not found`)
    return shown(rows[0])
  }
}

function shown({ holdSource, holdAt, ...user }: UserRow): User {
  return { ...user, hold: holdSource !== null && holdAt !== null ? { source: holdSource, at: holdAt } : null }
}

function compiled(filter: string | undefined) {
  if (filter === undefined) return sql`true`
  return filterOf('filter', () =>
    compileFilter(parseFilter(filter, userResourceType), { resourceType: userResourceType, alias: 'u' }),
  )
}
