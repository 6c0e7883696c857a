import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createDatabase, type TestDatabase } from './postgres.ts'
import type { RecordedOutput, RecordedSecret } from './secret-record.ts'
import { record } from './secret-setup.ts'
import { adminKey, type RunningTenure, registerDirectory, registerServer, runTenure, spawnTenure } from './tenure.ts'
import { waitFor } from './wait-for.ts'

/** Otherwise the scan at the end of a run would find nothing because there was nothing to scan. */
describe('what is written down for the scan for secrets', () => {
  let database: TestDatabase
  let tenure: RunningTenure

  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('all', database)
  })
  afterAll(async () => {
    await tenure?.close()
    await database?.drop()
  })

  const written = <T>(kind: 'secrets' | 'outputs'): T[] => {
    record.flush()
    const ours = readdirSync(inject('recording')).filter(
      (name) => name.includes('secret-setup.test.ts') && name.endsWith(kind),
    )
    const lines = ours.flatMap((name) => readFileSync(join(inject('recording'), name), 'utf8').split('\n'))
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
  }
  const outputsOf = (what: string) => written<RecordedOutput>('outputs').filter(({ of }) => of.startsWith(what))

  it('has the keys, the database password, and each secret with the answer that showed it', async () => {
    const okta = await registerDirectory(tenure.admin, 'acme')
    await okta.createUser('ada@acme.example')
    const { receiver } = await registerServer(tenure.admin, 'linear')
    await receiver.close()
    await tenure.admin.introspect('a-token-that-nobody-has')
    const secrets = new Map(written<RecordedSecret>('secrets').map((secret) => [secret.value, secret]))
    expect(secrets.has(adminKey)).toBe(true)
    expect(secrets.has(new URL(database.url).password)).toBe(true)
    expect(secrets.has('a-token-that-nobody-has')).toBe(true)
    const [showing] = outputsOf('the answer to POST /admin/v1/directories/acme/tokens (201)')
    expect(secrets.get(okta.token)).toMatchObject({ shownBy: showing!.id })
    const [server] = outputsOf('the answer to POST /admin/v1/servers (201)')
    const signing = written<RecordedSecret>('secrets').filter(({ shownBy }) => shownBy === server!.id)
    expect(signing.map(({ value }) => value.slice(0, 6))).toEqual(['whsec_'])
  })

  it('has every answer with its headers, the log, and both outputs of a process', async () => {
    await fetch(`${tenure.url}/metrics`)
    expect(outputsOf('the answer to GET /metrics (200)')[0]!.text).toMatch(
      /content-type: text\/plain.*tenure_requests_total/s,
    )
    expect(outputsOf('the log of tenure all').some(({ text }) => text.includes('request.served'))).toBe(true)
    const { process } = await spawnTenure('worker', database, { NODE_DEBUG: 'net' })
    await process.kill('SIGTERM')
    for (const stream of ['stdout', 'stderr'])
      await waitFor(() => outputsOf(`${stream} of bin/tenure.js worker`).length > 0, {
        what: `the ${stream} of a worker`,
      })
  })
})
