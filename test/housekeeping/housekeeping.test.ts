import { type CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { verifyInstallation } from '../../src/db/installation.ts'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import type { Tables } from '../../src/db/tables.ts'
import { expire } from '../../src/housekeeping/expire.ts'
import { createHousekeeping } from '../../src/housekeeping/housekeeping.ts'
import { createLogger } from '../../src/log.ts'
import { defaultRetention, parseRetention, type Retention } from '../../src/retention.ts'
import { createSealer, keyIdOf } from '../../src/secrets.ts'
import { createSigningKeys } from '../../src/trust/signing-keys.ts'
import { connect, createDatabase, type TestDatabase } from '../support/postgres.ts'

const log = createLogger({ level: 'silent' })
const oldKey = 'the-older-sealing-key-of-this-test-000'
const newKey = 'the-newer-sealing-key-of-this-test-111'

let database: TestDatabase
let db: Database
let owner: pg.Client

beforeAll(async () => {
  database = await createDatabase()
  db = openDatabase(createPool(database.url, { max: 5, name: 'tenure under test' }))
  owner = await connect({ url: database.ownerUrl })
  await verifyInstallation(db, createSealer([newKey]))
  await owner.query(`
    insert into directory (id, provider, name) values ('acme', 'okta', 'Acme');
    insert into server (id, name, resource, concurrency) values ('linear', 'Linear', 'https://linear.example/mcp', 10);
    insert into connector (id, server_id, type, config) values ('con_1', 'linear', 'webhook', '{}')`)
})
afterAll(async () => {
  await owner?.end()
  await db?.destroy()
  await database?.drop()
})

function keepHouse({ keys = [newKey], retention = {} as Partial<Retention> } = {}): Promise<void> {
  const sealer = createSealer(keys)
  const signingKeys = createSigningKeys({ db, sealer })
  return createHousekeeping({ db, sealer, signingKeys, retention: { ...defaultRetention, ...retention }, log })()
}

async function ids(table: string): Promise<string[]> {
  const { rows } = await owner.query(`select id::text from ${table} order by id`)
  return rows.map(({ id }) => id)
}

describe('TENURE_RETENTION', () => {
  it('keeps the default of what it does not name', () => {
    expect(parseRetention('attempt=7, tombstone=forever')).toEqual({
      ...defaultRetention,
      attempt: 7,
      tombstone: undefined,
    })
    expect(parseRetention('')).toEqual(defaultRetention)
  })

  it.each([
    'ledger_entry=10',
    'inbound_event=7',
    'attempt',
    'attempt=0',
    'attempt=-1',
    'attempt=soon',
    'constructor=1',
  ])('refuses %s', (text) => {
    expect(() => parseRetention(text)).toThrow(RangeError)
  })
})

describe('what is kept for a time', () => {
  const user = '11111111-1111-4111-8111-111111111111'

  beforeEach(async () => {
    await owner.query(`
      insert into scim_user (id, directory_id, user_name_key, active, document, folded)
        values ('${user}', 'acme', 'ada', true, '{"userName": "ada"}', '{}') on conflict do nothing;
      insert into user_state (user_id, directory_id, converged_version) values ('${user}', 'acme', 1) on conflict do nothing;
      insert into delivery (id, connector_id, server_id, user_id, wanted_generation, delivered_generation, urgent)
        values ('dlv_1', 'con_1', 'linear', '${user}', 1, 1, false) on conflict (id) do update set wanted_generation = 1, delivered_generation = 1;`)
  })

  it('goes when it is older than it is kept for, and not before', async () => {
    await owner.query(`
      insert into attempt (id, delivery_id, generation, started_at, outcome) values
        ('att_old', 'dlv_1', 1, now() - interval '91 days', 'applied'), ('att_young', 'dlv_1', 1, now() - interval '89 days', 'applied');
      insert into lifecycle_event (id, directory_id, user_id, kind, source, occurred_at, recorded_at) values
        ('evt_old', 'acme', '${user}', 'joined', 'scim', now(), now() - interval '731 days'),
        ('evt_young', 'acme', '${user}', 'changed', 'scim', now(), now() - interval '729 days');
      insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect, user_id, received_at) values
        ('inb_old', 'acme', 'okta', '\\x01', 't', 'noted', 'recorded', '${user}', now() - interval '91 days'),
        ('inb_young', 'acme', 'okta', '\\x02', 't', 'noted', 'recorded', null, now() - interval '89 days');
      insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, epoch, issued_at, expires_at, recorded_by, closed_at, closed_reason) values
        ('grt_expired', 'acme', '${user}', 'linear', 'claude', '{read}', '1', 0, now(), now() - interval '731 days', 'key:root', null, null),
        ('grt_closed', 'acme', '${user}', 'linear', 'claude', '{read}', '2', 0, now(), now() + interval '9 days', 'key:root', now() - interval '731 days', 'cut'),
        ('grt_open', 'acme', '${user}', 'linear', 'claude', '{read}', '3', 0, now() - interval '800 days', now() + interval '9 days', 'key:root', null, null);
      update access_grant set closed_generation = 1 where id = 'grt_closed';
      insert into admin_action (id, actor, operation, path, request_id, started_at) values
        ('act_old', 'key:root', 'PUT /rules/{id}', '/rules/x', 'r', now() - interval '731 days'), ('act_young', 'key:root', 'PUT /rules/{id}', '/rules/x', 'r', now());
      insert into admin_key (id, name, key_hash, created_by, expires_at) values
        ('key_old', 'old', '\\x01', 'key:root', now() - interval '31 days'), ('key_young', 'young', '\\x02', 'key:root', now() - interval '29 days'),
        ('key_lasting', 'lasting', '\\x03', 'key:root', null);
      insert into directory_token (id, directory_id, token_hash, expires_at) values
        ('tok_old', 'acme', '\\x01', now() - interval '31 days'), ('tok_lasting', 'acme', '\\x02', null);
      insert into connector_secret (id, connector_id, sealed, sealed_under, signs_until) values
        ('sec_over', 'con_1', 'x', '${createSealer([newKey]).kid}', now() - interval '1 second'),
        ('sec_still', 'con_1', 'x', '${createSealer([newKey]).kid}', now() + interval '1 hour')`)
    await keepHouse({ retention: { attempt: 90 } })
    expect(await ids('attempt')).toEqual(['att_young'])
    expect(await ids('lifecycle_event')).toEqual(['evt_young'])
    expect(await ids('inbound_event')).toEqual(['inb_young'])
    expect(await ids('access_grant')).toEqual(['grt_open'])
    expect(await ids('admin_action')).toEqual(['act_young'])
    expect(await ids('admin_key')).toEqual(['key_lasting', 'key_young'])
    expect(await ids('directory_token')).toEqual(['tok_lasting'])
    expect(await ids('connector_secret')).toEqual(['sec_still'])
    await keepHouse({ retention: { attempt: undefined } })
    expect(await ids('attempt')).toEqual(['att_young'])
    await keepHouse({ retention: { attempt: 88 } })
    expect(await ids('attempt')).toEqual([])
    await owner.query('delete from connector_secret')
  })

  it('keeps a grant that was closed until its server has heard, however long that takes', async () => {
    const closed = (id: string, generation: number | null) => `
      ('${id}', 'acme', '${user}', 'linear', 'claude', '{read}', '${id}', 0, now(), now() + interval '9 days', 'key:root', now() - interval '731 days', 'revoked', ${generation})`
    await owner.query(`
      delete from access_grant;
      insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, epoch, issued_at, expires_at, recorded_by, closed_at, closed_reason, closed_generation)
        values ${closed('grt_told', 1)}, ${closed('grt_untold', 2)}, ${closed('grt_unconverged', null)};
      update delivery set wanted_generation = 2, delivered_generation = 1 where id = 'dlv_1'`)
    await keepHouse()
    expect(await ids('access_grant')).toEqual(['grt_unconverged', 'grt_untold'])
    await owner.query(`
      update delivery set delivered_generation = 2 where id = 'dlv_1';
      update access_grant set closed_generation = 2 where id = 'grt_unconverged'`)
    await keepHouse()
    expect(await ids('access_grant')).toEqual([])
  })

  it.each([
    ['attempt', 'attempt_in_time'],
    ['lifecycle_event', 'lifecycle_event_in_time'],
    ['inbound_event', 'inbound_event_in_time'],
    ['access_grant', 'access_grant_over'],
  ])('is found by its age: %s', async (table, index) => {
    const statements: CompiledQuery[] = []
    const watched = new Kysely<Tables>({
      dialect: new PostgresDialect({ pool: createPool(database.url, { max: 1, name: 'tenure under test' }) }),
      log: ({ query }) => void statements.push(query),
    })
    await expire(watched, defaultRetention)
    await watched.destroy()
    const statement = statements.find(({ sql }) => sql.includes(`from "${table}"`))!
    // Among few deliveries, or channels, it could as well be looked up in the index of theirs.
    await owner.query(
      'begin; set local enable_seqscan = off; drop index attempt_by_delivery; drop index inbound_event_by_channel',
    )
    const { rows } = await owner.query(`explain ${statement.sql}`, [...statement.parameters])
    await owner.query('rollback')
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toMatch(new RegExp(`(on|using) ${index}\\b.*\\n +Index Cond: `))
  })

  it('takes a deleted user when its time is over and every server has heard', async () => {
    await owner.query(`
      insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect, user_id, ask_due_at, detail) values
        ('inb_of_them', 'acme', 'okta', '\\x03', 't', 'enabled', 'recorded', '${user}', now(), '{"user": "00u1"}');
      insert into identity_link (directory_id, issuer, subject, user_id) values ('acme', 'https://idp.example', 'sub-1', '${user}');
      update scim_user set deleted_at = now() - interval '731 days', active = false where id = '${user}';
      update delivery set wanted_generation = 2 where id = 'dlv_1'`)
    await keepHouse()
    expect(await ids('scim_user')).toEqual([user])
    await owner.query(`update delivery set delivered_generation = 2 where id = 'dlv_1'`)
    await keepHouse({ retention: { tombstone: undefined } })
    expect(await ids('scim_user')).toEqual([user])
    await keepHouse()
    expect(await ids('scim_user')).toEqual([])
    expect(await ids('delivery')).toEqual([])
    expect((await owner.query('select * from identity_link')).rows).toEqual([])
    // Or it would count again, if it were sent again.
    const { rows } = await owner.query("select user_id, ask_due_at, detail from inbound_event where id = 'inb_of_them'")
    expect(rows).toEqual([{ user_id: null, ask_due_at: null, detail: {} }])
  })

  it('takes what the channels of a deleted directory told, however much, once every server has heard', async () => {
    const person = '22222222-2222-4222-8222-222222222222'
    await owner.query(`
      insert into directory (id, provider, name) values ('gone', 'okta', 'Gone');
      insert into scim_user (id, directory_id, user_name_key, active, document, folded, deleted_at)
        values ('${person}', 'gone', 'ada', false, '{}', '{}', now());
      insert into user_state (user_id, directory_id, version) values ('${person}', 'gone', 2);
      insert into identity_link (directory_id, issuer, subject, user_id) values ('gone', 'https://idp.example', 'sub-1', '${person}');
      insert into inbound_event (id, directory_id, channel_kind, dedupe_hash, type, kind, effect, user_id)
        select 'inb_gone_' || n, 'gone', 'okta', sha256(n::text::bytea), 't', 'noted', 'recorded', case when n % 2 = 0 then '${person}'::uuid end
        from generate_series(1, 1200) n;
      insert into channel (directory_id, kind, config) values ('gone', 'okta', '{}');
      insert into channel_refusal (directory_id, channel_kind, reason, count) values ('gone', 'okta', 'size', 1);
      update directory set deleted_at = now() where id = 'gone'`)
    const left = async () =>
      (
        await owner.query(`select
        (select count(*)::int from inbound_event where directory_id = 'gone') as events, (select count(*)::int from identity_link) as links,
        (select count(*)::int from channel) as channels, (select count(*)::int from channel_refusal) as refusals,
        (select purged_at is not null from directory where id = 'gone') as purged`)
      ).rows[0]
    await keepHouse()
    expect(await left()).toEqual({ events: 1200, links: 1, channels: 1, refusals: 1, purged: false })
    await owner.query(`update user_state set converged_version = 2 where user_id = '${person}'`)
    await keepHouse()
    expect(await left()).toEqual({ events: 0, links: 0, channels: 0, refusals: 0, purged: true })
    expect(await ids('inbound_event')).not.toEqual([])
  })
})

describe('secrets under an older key', () => {
  it('are sealed anew under the first, the check of the installation too, so that the other can be dropped', async () => {
    const old = createSealer([oldKey])
    await owner.query('delete from installation')
    await verifyInstallation(db, old)
    await owner.query('insert into connector_secret (id, connector_id, sealed, sealed_under) values ($1, $2, $3, $4)', [
      'sec_1',
      'con_1',
      await old.seal('whsec_something'),
      old.kid,
    ])
    await keepHouse({ keys: [newKey, oldKey] })
    const { rows } = await owner.query('select sealed, sealed_under from connector_secret')
    const onlyNew = createSealer([newKey])
    expect(rows).toEqual([{ sealed: expect.any(String), sealed_under: onlyNew.kid }])
    expect(keyIdOf(rows[0].sealed)).toBe(onlyNew.kid)
    expect(await onlyNew.unseal(rows[0].sealed)).toBe('whsec_something')
    await verifyInstallation(db, onlyNew)
    await expect(verifyInstallation(db, old)).rejects.toThrow('TENURE_SECRET_KEY')
  })

  it('stay as they are when no key opens them, loudly, and the rest of the house is kept', async () => {
    await owner.query(`
      update connector_secret set sealed_under = 'unknown';
      insert into admin_action (id, actor, operation, path, request_id, started_at) values ('act_due', 'key:root', 'o', 'p', 'r', now() - interval '900 days')`)
    await expect(keepHouse({ keys: [oldKey] })).rejects.toThrow('cannot be opened')
    const { rows } = await owner.query('select sealed_under from connector_secret')
    expect(rows).toEqual([{ sealed_under: 'unknown' }])
    expect(await ids('admin_action')).not.toContain('act_due')
  })
})

describe('a signing key', () => {
  it('is followed by a new one after 90 days, and goes 48 hours after that has begun to sign', async () => {
    const made = async () => (await owner.query('select kid from signing_key order by signs_from')).rows
    const wait = (interval: string) =>
      owner.query(`update signing_key set signs_from = signs_from - '${interval}'::interval,
        published_until = published_until - '${interval}'::interval`)
    await createSigningKeys({ db, sealer: createSealer([newKey]) }).current()
    const [first] = await made()
    await keepHouse()
    expect(await made()).toEqual([first])
    await wait('91 days')
    await keepHouse()
    expect(await made()).toEqual([first, { kid: expect.any(String) }])
    await wait('49 hours')
    await keepHouse()
    expect(await made()).toEqual([{ kid: expect.not.stringContaining(first.kid) }])
  })
})

describe('several processes', () => {
  it('leave the house to the one that is at it', async () => {
    await owner.query(
      "delete from connector_secret; insert into admin_action (id, actor, operation, path, request_id, started_at) values ('act_x', 'key:root', 'o', 'p', 'r', now() - interval '900 days')",
    )
    await owner.query("select pg_advisory_lock(hashtext('tenure housekeeping'))")
    await keepHouse()
    expect(await ids('admin_action')).toContain('act_x')
    await owner.query("select pg_advisory_unlock(hashtext('tenure housekeeping'))")
    await keepHouse()
    expect(await ids('admin_action')).not.toContain('act_x')
  })
})
