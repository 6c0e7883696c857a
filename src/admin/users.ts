import { Router } from 'express'
import { sql } from 'kysely'
import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { compileFilter } from '../directory/filter-sql.ts'
import type { Users } from '../directory/users.ts'
import { Invalid, NotFound } from '../errors.ts'
import { FilterError } from '../filter/errors.ts'
import { parseFilter } from '../filter/parse.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'
import { isResourceId } from '../ids.ts'
import type { Grants } from '../ledger/grants.ts'
import { userResourceType } from '../schemas/user.ts'
import { callerOf } from './auth.ts'
import { readTimeline } from './timeline.ts'

/** What a cursor over users holds. */
const uuidText = /^[0-9a-f-]{36}$/
const userQuery = pageQuery.extend({ directory: z.string(), filter: z.string().optional() })

interface UserView {
  readonly id: string
  readonly directory: string
  readonly userName: string
  readonly externalId: string | null
  readonly displayName: string | null
  readonly active: boolean
  readonly deleted: boolean
  readonly hold: { source: string; at: string } | null
  readonly epoch: number
  readonly notBefore: string | null
  /** Whether servers have yet to be told of something. */
  readonly behind: boolean
  readonly groups: ReadonlyArray<{ id: string; displayName: string }>
}

const userView = sql`
  u.id, u.directory_id as directory, u.document ->> 'userName' as "userName", u.external_id as "externalId", u.document ->> 'displayName' as "displayName",
  u.active, u.deleted_at is not null as deleted,
  case when s.hold_at is not null then jsonb_build_object('source', s.hold_source, 'at', s.hold_at) end as hold,
  s.epoch, s.not_before as "notBefore", s.version > s.converged_version as behind,
  (select coalesce(jsonb_agg(jsonb_build_object('id', g.id, 'displayName', g.display_name) order by g.display_name), '[]')
   from group_user m join scim_group g on g.id = m.group_id where m.user_id = u.id) as groups`

/** `/users`: one person's access, how it came about, and the emergency cut. */
export function userRoutes({ db, users, grants }: { db: Database; users: Users; grants: Grants }): Router {
  const routes = Router()

  routes.get('/users', async (req, res) => {
    const { directory, filter, limit, cursor } = parse(userQuery, req.query)
    const after = cursorKey(cursor, uuidText)
    const { rows } = await sql<UserView>`
      select ${userView} from scim_user u join user_state s on s.user_id = u.id
      where u.directory_id = ${directory} and u.deleted_at is null and ${compiled(filter)}
        and ${after === undefined ? sql`true` : sql`u.id > ${after}::uuid`}
      order by u.id limit ${limit}`.execute(db)
    res.json(listed(rows, limit, ({ id }) => id))
  })

  routes.get('/users/:id', async (req, res) => {
    const user = await find(req.params.id)
    const { rows: entitlements } = await sql`
      select e.server_id as server, e.active, e.generation, e.epoch, e.access, e.rules, e.changed_at as since
      from entitlement e where e.user_id = ${user.id} order by e.server_id`.execute(db)
    res.json({ ...user, entitlements, grants: await grants.list({ userId: user.id, limit: 100 }) })
  })

  routes.get('/users/:id/timeline', async (req, res) => {
    const { id } = await find(req.params.id)
    res.json({ items: await readTimeline(db, id), next: null })
  })

  routes.post('/users/:id/cut', async (req, res) => {
    const { id } = await find(req.params.id)
    const caller = callerOf(req)
    await users.cut(id, {
      source: 'admin',
      actor: caller.kind === 'admin' ? `key:${caller.name}` : caller.serverId,
      requestId: req.id,
    })
    res.json(await find(id))
  })

  return routes

  async function find(id: string): Promise<UserView> {
    const { rows } = await sql<UserView>`
      select ${userView} from scim_user u join user_state s on s.user_id = u.id
      where u.id = ${isResourceId(id) ? id : null}::uuid`.execute(db)
    if (!rows[0]) throw new NotFound(`User "${id}" not found`)
    return rows[0]
  }
}

function compiled(filter: string | undefined) {
  if (filter === undefined) return sql`true`
  try {
    return compileFilter(parseFilter(filter, userResourceType), { resourceType: userResourceType, alias: 'u' })
  } catch (error) {
    if (!(error instanceof FilterError)) throw error
    throw new Invalid('The filter cannot be used', [
      {
        field: 'filter',
        message: error.message,
        ...(error.position === undefined ? {} : { position: error.position }),
      },
    ])
  }
}
