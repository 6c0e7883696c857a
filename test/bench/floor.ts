/**
 * The floor: what the same two hops cost in raw BullMQ, on the same backend, with the same POSTs and row writes and
 * nothing else. A PATCH commits its rows and adds a job for the user; that job writes the rows of seven servers and adds
 * a job for each; each of those posts and writes down the answer.
 *
 * Run by chain.ts as a process of its own, as Tenure is: DATABASE_URL, REDIS_URL and the receivers' URLs as arguments.
 */
import type { EventEmitter } from 'node:events'
import express from 'express'
import pg from 'pg'
import { Webhook } from 'standardwebhooks'
import { Pool } from 'undici'
import { createPool } from '../../src/db/pool.ts'
import { createLogger } from '../../src/log.ts'
import { createPostgresQueueBackend, migrateQueue } from '../../src/queue/postgres-backend.ts'
import { createRedisQueueBackend } from '../../src/queue/redis-backend.ts'

const urls = process.argv.slice(2)
const databaseUrl = process.env.DATABASE_URL!
const ownerUrl = process.env.DATABASE_MIGRATION_URL!
const log = createLogger({ level: 'warn' })

const owner = new pg.Client({ connectionString: ownerUrl })
await owner.connect()
await owner.query(`
  create table person (id uuid primary key, active boolean not null, document jsonb not null, version bigint not null default 1);
  create table event (id bigint generated always as identity primary key, person_id uuid not null, at timestamptz not null default clock_timestamp(), detail jsonb);
  create table entitlement (person_id uuid, server int, generation bigint generated always as identity, active boolean, access jsonb, primary key (person_id, server));
  create table delivery (id bigint generated always as identity primary key, person_id uuid, server int, body text, due_at timestamptz, delivered_at timestamptz, unique (person_id, server));
  create table attempt (id bigint generated always as identity primary key, delivery_id bigint, at timestamptz, ms int, status int);
  create table ledger (id bigint generated always as identity primary key, person_id uuid, server int, kind text, at timestamptz not null default clock_timestamp());
  grant all on all tables in schema public to tenure; grant all on all sequences in schema public to tenure`)
await owner.end()

const db = createPool(databaseUrl, { max: 24, name: 'floor' })
if (!process.env.REDIS_URL) await migrateQueue({ ownerUrl, runtimeRole: 'tenure' })
const backend = process.env.REDIS_URL
  ? createRedisQueueBackend(process.env.REDIS_URL, log)
  : createPostgresQueueBackend(createPool(databaseUrl, { max: 12, name: 'floor queue', searchPath: 'bullmq' }))
const specs = {
  user: { name: 'floor-user', hop: 'converge', lane: 'normal', concurrency: 14 },
  server: { name: 'floor-server', hop: 'deliver', lane: 'normal', concurrency: 70 },
} as const
const options = { lockDuration: 5_000, stalledInterval: 2_000, maxStalledCount: 1_000, runRetryDelay: 1_000 }
const kept = { removeOnComplete: true, removeOnFail: true }
const users = backend.createQueue(specs.user)
const servers = backend.createQueue(specs.server)
const pools = urls.map((url) => new Pool(new URL(url).origin, { connections: 10, pipelining: 1 }))
const signer = new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`)

const userWorker = backend.createWorker(
  specs.user,
  async (job) => {
    const { rows } = await db.query('select id, active, document from person where id = $1', [job.data.id])
    const { active, document } = rows[0]
    const { rows: due } = await db.query(
      `with entitled as (
         insert into entitlement (person_id, server, active, access) select $1, s, $2, '{"any":["read"]}' from generate_series(0, $3 - 1) s
         on conflict (person_id, server) do update set active = excluded.active, generation = default returning server, generation
       ), noted as (insert into ledger (person_id, server, kind) select $1, server, 'entitled' from entitled)
       insert into delivery (person_id, server, body, due_at) select $1, server, $4, clock_timestamp() from entitled
       on conflict (person_id, server) do update set body = excluded.body, due_at = excluded.due_at returning id, server`,
      [job.data.id, active, urls.length, JSON.stringify({ data: { active, user: { id: job.data.id, ...document } } })],
    )
    await servers.addBulk(due.map(({ id }) => ({ name: 'deliver', data: { id: String(id) }, opts: kept })))
  },
  options,
)
const serverWorker = backend.createWorker(
  specs.server,
  async (job) => {
    const { rows } = await db.query('select id, person_id, server, body from delivery where id = $1', [job.data.id])
    const { id, person_id, server, body } = rows[0]
    const at = new Date()
    const start = performance.now()
    const headers = {
      'content-type': 'application/json',
      'webhook-id': String(id),
      'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
      'webhook-signature': signer.sign(String(id), at, body),
    }
    const answer = await pools[server]!.request({ method: 'POST', path: '/', headers, body })
    await answer.body.dump()
    await db.query(
      `with tried as (insert into attempt (delivery_id, at, ms, status) values ($1, $2, $3, $4)),
            noted as (insert into ledger (person_id, server, kind) values ($5, $6, 'delivered'))
       update delivery set due_at = null, delivered_at = clock_timestamp() where id = $1`,
      [id, at, Math.round(performance.now() - start), answer.statusCode, person_id, server],
    )
  },
  options,
)
const parts: EventEmitter[] = [users, servers, userWorker, serverWorker]
for (const part of parts) part.on('error', (error: Error) => log.warn({ error }, 'floor'))
process.once('SIGTERM', () => process.exit(0))

const app = express()
app.use(express.json())
app.post('/people', async (req, res) => {
  const { id } = req.body
  await write(`insert into person (id, active, document) values ($1, $2, $3)`, [id, true, req.body])
  res.status(201).json({ id })
  await users.add('user', { id }, kept)
})
app.patch('/people/:id', async (req, res) => {
  await write(`update person set active = $2, version = version + 1, document = document || $3 where id = $1`, [
    req.params.id,
    req.body.active,
    req.body,
  ])
  res.json({ id: req.params.id })
  await users.add('user', { id: req.params.id }, kept)
})
const listening = app.listen(0, '127.0.0.1', () => {
  const { port } = listening.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})

async function write(statement: string, values: unknown[]): Promise<void> {
  const client = await db.connect()
  try {
    await client.query('begin')
    await client.query(statement, values)
    await client.query('insert into event (person_id, detail) values ($1, $2)', [values[0], { operation: 'write' }])
    await client.query('commit')
  } finally {
    client.release()
  }
}
