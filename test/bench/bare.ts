/**
 * What an answer with one indexed query costs and nothing else: Express, pg, a grant by its id. And one with a row that
 * is committed.
 *
 * Run by oauth.ts and hooks.ts as a process of its own, as Tenure is: DATABASE_URL; DATABASE_MIGRATION_URL makes the table.
 */
import express from 'express'
import pg from 'pg'

const db = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 24 })
const app = express()
app.disable('x-powered-by')
app.set('etag', false)
app.get('/grants/:id', async (req, res) => {
  const { rows } = await db.query(
    'select user_id, server_id, client, scopes, issued_at, expires_at from access_grant where id = $1',
    [req.params.id],
  )
  if (rows[0]) res.json(rows[0])
  else res.status(404).end()
})
if (process.env.DATABASE_MIGRATION_URL) await makeTable(process.env.DATABASE_MIGRATION_URL)
app.post('/rows', express.text({ type: () => true }), async (req, res) => {
  await db.query('insert into bare_row (body) values ($1)', [req.body])
  res.end()
})
const listening = app.listen(0, '127.0.0.1', () => {
  const { port } = listening.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))

async function makeTable(ownerUrl: string): Promise<void> {
  const owner = new pg.Client({ connectionString: ownerUrl })
  await owner.connect()
  await owner.query(
    'create table if not exists bare_row (id bigint generated always as identity primary key, body text not null)',
  )
  await owner.query('grant insert on bare_row to public')
  await owner.end()
}
