import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createPool, type Database, createDatabase as openDatabase } from '../../src/db/pool.ts'
import { type Channels, createChannels } from '../../src/directory/channels.ts'
import { createIntake, type Intake } from '../../src/directory/intake.ts'
import { createSealer } from '../../src/secrets.ts'
import { makeSecret } from '../receivers/world.ts'
import type { ScimClient } from '../support/clients.ts'
import { CommandLine } from '../support/command-line.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { adminKey, type RunningTenure, registerDirectory, runTenure, secretKey } from '../support/tenure.ts'

const timeout = 240_000
const folder = mkdtempSync(join(tmpdir(), 'tenure-channel-'))
const okta = { directoryId: 'acme', kind: 'okta' } as const

let database: TestDatabase
let tenure: RunningTenure
let cli: CommandLine
let db: Database
let channels: Channels
let intake: Intake
let scim: ScimClient

beforeAll(async () => {
  database = await createDatabase()
  tenure = await runTenure('api', database)
  scim = await registerDirectory(tenure.admin, 'acme')
  cli = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: adminKey })
  db = openDatabase(createPool(database.url, { max: 2, name: 'tenure under test' }))
  channels = createChannels({ db, sealer: createSealer([secretKey]) })
  intake = createIntake({ db, hintUser: () => {} })
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await db?.destroy()
  await tenure?.close()
  await database?.drop()
})
beforeEach(async () => {
  for (const { kind } of await channels.list('acme')) await channels.remove({ directoryId: 'acme', kind })
})

function file(name: string, content: string): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

async function isAdmitted(secret: string): Promise<boolean> {
  return channels.admits((await channels.find(okta))!, secret)
}

describe('tenure channel', () => {
  it('sets up event hooks with a secret from a file, shows the URL, and rotates', { timeout }, async () => {
    const [old, fresh, token] = ['old', 'new', 'token'].map((what) => makeSecret(what).replace(' ', '-')) as [
      string,
      string,
      string,
    ]
    const url = `${tenure.url}/directories/acme/events/okta`
    const settings = [
      '--api-url',
      'https://acme.okta.example',
      '--app-id',
      '0oa1',
      '--effect',
      'user.account.lock=sessions_revoked',
      'user.mfa.factor.reset_all=noted',
    ]
    const files = ['--secret-file', file('hook', `${old}\n`), '--api-token-file', file('token', `${token}\n`)]
    expect(await cli.ok('channel', 'set-okta', 'acme', ...settings, ...files, '-q')).toBe(`${url}\n`)
    expect(await isAdmitted(old)).toBe(true)
    expect((await channels.takeTurns(1)).map((turn) => turn.token)).toEqual([token])

    const both = ['--secret-file', file('both', `${fresh}\n${old}\n`)]
    const shown = await cli.ok('channel', 'set-okta', 'acme', ...settings, ...both)
    expect(shown).toMatch(/^channel +okta of acme$/m)
    expect(shown).toContain(url)
    expect(shown).toMatch(/^token +kept$/m)
    expect(shown).toMatch(/user\.account\.lock +sessions_revoked/)
    expect(shown.match(/last shown by the sender/g)).toHaveLength(2)
    expect(await isAdmitted(fresh)).toBe(true)
    expect(await cli.ok('channel', 'show', 'acme', 'okta')).toMatch(/^org +https:\/\/acme\.okta\.example$/m)
    expect(await cli.ok('channel', 'show', 'acme', 'okta', '-q')).toBe(`${url}\n`)
    expect(await cli.json('channel', 'set-okta', 'acme', '--no-api-token')).toMatchObject({
      hasToken: false,
      secrets: [{}, {}],
    })
    for (const secret of [old, fresh, token]) expect(shown).not.toContain(secret)
  })

  it('asks for the secret of a new channel where somebody can be asked, and shows nothing of it', {
    timeout,
  }, async () => {
    const secret = makeSecret('typed').replace(' ', '-')
    const nobody = await cli.run(['channel', 'set-okta', 'acme'])
    expect(nobody).toMatchObject({ code: 2, stdout: '' })
    expect(nobody.stderr).toContain('--secret-file')
    const typed = await cli.run(['channel', 'set-okta', 'acme'], { terminal: { answer: `${secret}\n` } })
    expect(typed.code).toBe(0)
    expect(typed.stderr).toContain('The whole Authorization header')
    expect(typed.stdout + typed.stderr).not.toContain(secret)
    expect(await isAdmitted(secret)).toBe(true)
    expect(await cli.run(['channel', 'set-okta', 'acme', '--app-id', '0oa1'])).toMatchObject({ code: 0 })
    expect(await isAdmitted(secret)).toBe(true)
  })

  it('reads one secret from standard input, and not two', { timeout }, async () => {
    const secret = makeSecret('piped').replace(' ', '-')
    expect(
      await cli.run(['channel', 'set-okta', 'acme', '--secret-file', '-'], { input: `${secret}\n` }),
    ).toMatchObject({ code: 0 })
    expect(await isAdmitted(secret)).toBe(true)
    const twice = ['channel', 'set-okta', 'acme', '--secret-file', '-', '--api-token-file', '-']
    expect((await cli.run(twice, { input: secret })).stderr).toContain('one file only')
    const many = ['channel', 'set-okta', 'acme', '--secret-file', file('many', 'one\ntwo\nthree')]
    expect((await cli.run(many)).stderr).toContain('more than two lines')
    expect((await cli.run(['channel', 'set-okta', 'acme', '--secret-file', join(folder, 'none')])).code).toBe(2)
    expect((await cli.run(['channel', 'set-okta', 'acme', '--effect', 'user.account.lock'])).stderr).toContain(
      'sessions_revoked',
    )
  })

  it('sets up a transmitter and Universal Logout', { timeout }, async () => {
    const ssf = ['--issuer', 'https://idp.example', '--audience', 'a', 'b', '--jwks-uri', 'https://idp.example/keys']
    const push = ['--push-authorization-file', file('push', makeSecret('push'))]
    expect(
      await cli.json('channel', 'set-ssf', 'acme', ...ssf, ...push, '--legacy', '--subject', 'email'),
    ).toMatchObject({
      delivery: 'push',
      audience: ['a', 'b'],
      legacy: true,
      subject: 'email',
      secrets: [{}],
    })
    expect(await cli.json('channel', 'set-ssf', 'acme', ...ssf, '--no-push-authorization')).toMatchObject({
      secrets: [],
    })
    const polled = ['--delivery', 'poll', '--token-file', file('token', makeSecret('token').replace(' ', '-'))]
    const stream = [
      '--stream',
      '--configuration-endpoint',
      'https://idp.example/stream',
      '--stream-event',
      'session-revoked',
    ]
    expect(await cli.json('channel', 'set-ssf', 'acme', ...ssf, ...polled, ...stream)).toMatchObject({
      hasToken: true,
      stream: { configurationEndpoint: 'https://idp.example/stream', events: ['session-revoked'] },
    })
    expect(await cli.ok('channel', 'check', 'acme', 'ssf')).toContain('is asked within seconds')
    expect((await cli.run(['channel', 'set-ssf', 'acme', ...ssf, '--stream-event', 'x'])).stderr).toContain('--stream')
    const logout = [
      '--issuer',
      'https://acme.okta.example',
      '--jwks-uri',
      'https://acme.okta.example/keys',
      '--client',
      '0oa2',
    ]
    expect(await cli.ok('channel', 'set-global-token-revocation', 'acme', ...logout)).toMatch(/^client +0oa2$/m)
    expect((await cli.run(['channel', 'check', 'acme', 'global-token-revocation'])).stderr).toContain('only sends')
    expect(await cli.ok('channel', 'list', 'acme', '-q')).toBe('global-token-revocation\nssf\n')
  })

  it('lists what came over one, with what came of it, and how each channel is doing', { timeout }, async () => {
    await channels.put(okta, {
      config: {},
      inbound: [makeSecret('hook')],
      outbound: undefined,
      works: false,
      source: [],
    })
    const { id } = await scim.createUser('ada@acme.example')
    const event = { dedupeKey: 'one', type: 'user.lifecycle.deactivate', kind: 'left' as const }
    const occurredAt = new Date(Date.now() - 42_000)
    await intake.receive(okta, [
      { ...event, subject: [{ by: 'id', value: id }], occurredAt },
      { ...event, dedupeKey: 'two', subject: [{ by: 'externalId', value: '00uNobody' }] },
    ])
    const listed = await cli.ok('channel', 'events', 'acme', 'okta')
    expect(listed).toMatch(/user\.lifecycle\.deactivate +cut +ada@acme\.example +42/)
    expect(listed).toMatch(/waiting +- .*externalId 00uNobody/)
    expect((await cli.json('channel', 'events', 'acme', 'okta', '--effect', 'cut')).items).toHaveLength(1)
    expect(await cli.ok('channel', 'list', 'acme')).toMatch(/okta +ok +\w.* +1 +1 +0$/m)
    expect(await cli.ok('stats')).toMatch(/okta +acme +\w.* +1 +- +1 +0$/m)
    expect(await cli.ok('user', 'timeline', id)).toMatch(/okta: user\.lifecycle\.deactivate, cut, 42/)
    expect(await cli.ok('job', 'list', '--kind', 'event')).toMatch(/failing +\(event\) +-/)
    expect(await cli.ok('job', 'replay', '--kind', 'event')).toContain('1 event that waits')
  })

  it('names the channel that an alarm is about', { timeout }, async () => {
    await channels.put(okta, {
      config: {},
      inbound: [makeSecret('hook')],
      outbound: undefined,
      works: false,
      source: [],
    })
    await channels.noteState(okta, { streamStatus: { status: 'disabled', at: new Date().toISOString() } })
    const { code, stdout } = await cli.run(['alarm'])
    expect(code).toBe(3)
    expect(stdout).toMatch(/critical +channel_failing +channel okta of acme/)
    expect(await cli.ok('channel', 'list', 'acme')).toMatch(/okta +stream disabled/)
  })

  it('removes one, asking first, and knows no other kinds', { timeout }, async () => {
    await channels.put(okta, {
      config: {},
      inbound: [makeSecret('hook')],
      outbound: undefined,
      works: false,
      source: [],
    })
    const asked = await cli.run(['channel', 'remove', 'acme', 'okta'])
    expect(asked).toMatchObject({ code: 2, stdout: '' })
    expect(asked.stderr).toContain('its sender is turned away')
    await cli.ok('channel', 'remove', 'acme', 'okta', '--yes')
    expect((await cli.run(['channel', 'list', 'acme'])).stderr).toContain('told by SCIM alone')
    expect(await cli.run(['channel', 'show', 'acme', 'carrier-pigeon'])).toMatchObject({ code: 2 })
  })
})
