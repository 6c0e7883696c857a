/**
 * The peer: scimmy and scimmy-routers on Express, with the plainest store that its users would write: a table per
 * resource type, the resource as JSONB, a unique index on userName, members in the group's document. One statement per
 * handler, committed with fsync. Pages and `userName eq` are answered by the database; nothing is locked between the
 * read and the write of a PATCH, which scimmy leaves to its user.
 *
 * Run by scim.ts as a process of its own, as Tenure is: DATABASE_URL, and the bearer token as argument.
 */
import express from 'express'
import pg from 'pg'
import SCIMMY from 'scimmy'
import SCIMMYRouters from 'scimmy-routers'

const [token] = process.argv.slice(2)
const db = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
for (const table of ['scim_user', 'scim_group']) {
  await db.query(`
    create table ${table} (
      id uuid primary key default gen_random_uuid(),
      document jsonb not null,
      created_at timestamptz not null default now(),
      last_modified timestamptz not null default now()
    )`)
  await db.query(`create index on ${table} (created_at, id)`)
}
await db.query(`create unique index on scim_user (lower(document ->> 'userName'))`)

SCIMMY.Resources.declare(SCIMMY.Resources.User)
  .ingress((resource, data) => write('scim_user', resource, data))
  .egress((resource) => read('scim_user', resource))
SCIMMY.Resources.declare(SCIMMY.Resources.Group)
  .ingress((resource, data) => write('scim_group', resource, data))
  .egress((resource) => read('scim_group', resource))

const app = express()
app.set('etag', false)
// Express 5 reads the query anew at every look; scimmy-routers writes the numbers of a page into it.
app.use((req, _res, next) => {
  Object.defineProperty(req, 'query', { value: req.query })
  next()
})
app.use(
  '/scim/v2',
  new SCIMMYRouters({
    type: 'bearer',
    handler: (req) => {
      if (req.header('authorization') !== `Bearer ${token}`) throw new Error('A valid bearer token is required')
      return 'bench'
    },
  }),
)
const listening = app.listen(0, '127.0.0.1', () => {
  const { port } = listening.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}/scim/v2` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))

type Table = 'scim_user' | 'scim_group'
type Resource = Pick<InstanceType<typeof SCIMMY.Resources.User>, 'id' | 'filter' | 'constraints'>

async function write(table: Table, { id }: Resource, data: object) {
  const { id: _id, meta: _meta, schemas: _schemas, ...document } = data as Record<string, unknown>
  try {
    const { rows } = id
      ? await db.query(`update ${table} set document = $2, last_modified = now() where id = $1 returning *`, [
          id,
          document,
        ])
      : await db.query(`insert into ${table} (document) values ($1) returning *`, [document])
    if (!rows[0]) throw new SCIMMY.Types.Error(404, '', `Resource ${id} not found`)
    return represent(rows[0])
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '23505')
      throw new SCIMMY.Types.Error(409, 'uniqueness', 'userName is taken')
    throw error
  }
}

async function read(table: Table, { id, filter, constraints }: Resource) {
  if (id) {
    const { rows } = await db.query(`select * from ${table} where id = $1`, [id])
    if (!rows[0]) throw new SCIMMY.Types.Error(404, '', `Resource ${id} not found`)
    return represent(rows[0])
  }
  if (filter) {
    const [{ userName: [op, value] = [] }] = filter as unknown as [Record<string, string[]>]
    if (op !== 'eq') throw new SCIMMY.Types.Error(400, 'invalidFilter', 'Only userName eq')
    const { rows } = await db.query(`select * from ${table} where lower(document ->> 'userName') = lower($1)`, [value])
    return rows.map(represent)
  }
  const { startIndex = 1, count = 20 } = constraints ?? {}
  const { rows } = await db.query(
    `select *, count(*) over () as total from ${table} order by created_at, id offset $1 limit $2`,
    [startIndex - 1, count],
  )
  Object.assign(constraints ?? {}, { totalResults: Number(rows[0]?.total ?? 0) })
  return rows.map(represent)
}

function represent(row: { id: string; document: object; created_at: Date; last_modified: Date }) {
  return { ...row.document, id: row.id, meta: { created: row.created_at, lastModified: row.last_modified } } as never
}
