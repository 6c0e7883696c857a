/**
 * What an answer with one indexed query costs and nothing else: Express, pg, a grant by its id.
 *
 * Run by oauth.ts as a process of its own, as Tenure is: DATABASE_URL.
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
const listening = app.listen(0, '127.0.0.1', () => {
  const { port } = listening.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))
