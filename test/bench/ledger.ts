import pg from 'pg'
import type { Person } from '../support/people.ts'
import type { Company } from './company.ts'

/** A ledger with so many grants that are good, ten for each person, each with its entry and used before. */
export interface Ledger {
  readonly people: readonly Person[]
  readonly grants: number
  /** Of one of the grants, another for each number, in no order that an index or a cache could like. */
  token(n: number): string
  id(n: number): string
}

const grantsEach = 10
const groupSize = 1_000

/** Written straight into the database, as the requests would have left it, with the housekeeping of Postgres done. */
export async function fillLedger(
  company: Company,
  database: { url: string; ownerUrl: string },
  grants: number,
): Promise<Ledger> {
  const sql = await connect(database.url)
  const people: Person[] = []
  const count = grants / grantsEach
  while (people.length < count) {
    const size = Math.min(groupSize, count - people.length)
    people.push(...(await company.hire(sql, `group-${people.length}`, size)).people)
  }
  // As workers would leave them: who is not behind is nobody's work while figures are taken.
  await sql.query(`
    update user_state set converged_version = version, converged_policy_version = (select policy_version from directory),
      behind_since = null, converge_due_at = null`)
  await sql.query(
    `insert into access_grant (id, directory_id, user_id, server_id, client, scopes, jti, token_hash, token_format, epoch, issued_at,
       expires_at, recorded_by)
     select id, 'acme', user_id, 'linear', 'claude', '{read}', id, sha256(convert_to('tnr_at_' || n, 'utf8')), 'opaque', 0, now(),
       now() + interval '1 day', 'client:claude'
     from (select n, 'grt_' || n as id, people.ids[1 + n / $2] as user_id
           from (select $1::uuid[] as ids) people, generate_series(0, $3::int - 1) n) g`,
    [people.map(({ id }) => id), grantsEach, grants],
  )
  await sql.query(`
    insert into ledger_entry (kind, directory_id, user_id, server_id, grant_id, epoch, detail)
    select 'granted', directory_id, user_id, server_id, id, epoch, jsonb_build_object('client', client, 'scopes', scopes) from access_grant`)
  await sql.query('insert into grant_use (grant_id) select id from access_grant')
  await sql.end()
  const owner = await connect(database.ownerUrl)
  await owner.query('vacuum analyze')
  await owner.end()
  return {
    people,
    grants,
    token: (n) => `tnr_at_${scattered(n, grants)}`,
    id: (n) => `grt_${scattered(n, grants)}`,
  }
}

function scattered(n: number, count: number): number {
  return (n * 7_919) % count
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}
