import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Json, ScimClient } from '../support/clients.ts'
import { CommandLine } from '../support/command-line.ts'
import { freePort } from '../support/free-port.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { adminKey, type RunningTenure, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'

const timeout = 240_000
/** Every look is a process of its own. */
const patient = { timeoutMs: 60_000 }
const engineering = 'groups.display eq "Engineering"'

let database: TestDatabase
let tenure: RunningTenure
let receiver: Receiver
/** With the root key. */
let root: CommandLine

/** A Tenure of its own for everything in a `describe`. */
function startTenure(): void {
  beforeAll(async () => {
    database = await createDatabase()
    tenure = await runTenure('all', database)
    receiver = await startReceiver()
    root = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: adminKey })
  })
  afterAll(async () => {
    await tenure?.close()
    await receiver?.close()
    await database?.drop()
  })
}

describe('an operator, by the command line alone', () => {
  startTenure()

  it('sets a company up, mends what breaks, rotates a token in use, and takes everything away again', {
    timeout,
  }, async () => {
    const key = (await root.ok('key', 'add', 'ada', '--expires', '90d', '-q')).trim()
    const cli = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: key })

    // A directory, its token, a server and a rule.
    const base = (await cli.ok('directory', 'add', 'acme', '--provider', 'okta', '-q')).trim()
    const token = (await cli.ok('token', 'add', 'acme', '--label', 'Okta app', '-q')).trim()
    expect(token).toMatch(/^\S+$/)
    const server = ['--name', 'Linear', '--resource', 'https://linear.example/mcp', '--webhook', receiver.url]
    receiver.trust((await cli.ok('server', 'add', 'linear', ...server, '-q')).trim())
    const rule = ['engineers', '--server', 'linear', '--scope', 'read', 'write', '--when', engineering]
    expect(await cli.ok('rule', 'set', ...rule, '--dry-run')).toContain('Nothing was changed')
    expect((await cli.json('rule', 'list')).items).toEqual([])
    await cli.ok('rule', 'set', ...rule)

    // People join, and the server hears.
    const okta = new ScimClient(base, token)
    const ada = await okta.createUser('ada@acme.example')
    const grace = await okta.createUser('grace@acme.example')
    await okta.createGroup('Engineering', [ada.id, grace.id])
    await waitFor(() => receiver.users.get(ada.id)?.active && receiver.users.get(grace.id)?.active, {
      what: 'both to be told',
    })
    expect(await cli.ok('user', 'why', 'ada@acme.example', 'linear')).toMatch(/^yes: ada@acme\.example has access/)

    // The server breaks, and a leaver leaves.
    receiver.behave({ status: 400 })
    await okta.setActive(ada.id, false)
    const [parked] = await waitFor(
      async () => {
        const { items } = await cli.json('job', 'list', '--state', 'parked')
        return items.length > 0 ? items : undefined
      },
      { what: 'the work to be parked', ...patient },
    )
    expect(parked).toMatchObject({ kind: 'delivery', state: 'parked', server: 'linear', user: ada.id })
    expect(await cli.ok('job', 'list', '--state', 'parked')).toMatch(/parked +linear +ada@acme\.example .*answered 400/)
    expect((await cli.run(['alarm'])).stdout).toMatch(/work_parked +server linear/)
    expect(await cli.ok('user', 'why', 'ada@acme.example', 'linear')).toMatch(/^no: .*inactive in its directory/)

    // Asked what a replay would do, nothing is done.
    const heard = receiver.requests.length
    const dry = await cli.json('job', 'replay', '--server', 'linear', '--dry-run')
    expect(dry).toMatchObject({ dryRun: true, requeued: 1, deliveries: 1 })
    expect((await cli.json('job', 'list', '--state', 'parked')).items).toEqual([parked])
    expect(receiver.requests).toHaveLength(heard)

    // The server is mended; the replay arrives, and the timeline shows all of it.
    receiver.behave()
    expect(await cli.ok('job', 'replay', '--server', 'linear')).toContain('Done again from now on: 1 delivery')
    await waitFor(() => receiver.users.get(ada.id)?.active === false, { what: 'the leaver to be told' })
    await waitFor(async () => (await cli.json('job', 'list')).items.length === 0, {
      what: 'no failed work',
      ...patient,
    })
    const timeline = await cli.ok('user', 'timeline', 'ada@acme.example')
    expect(timeline.slice(timeline.indexOf('left by scim'))).toMatch(
      /^left by scim[\s\S]*cut, epoch 1[\s\S]*linear +access ends[\s\S]*[━╺╸] +linear +✗ refused: answered 400[\s\S]*[━╺╸] +linear +✓ 200[\s\S]*• +linear +delivered/,
    )
    for (const line of timeline.split('\n')) expect(line.length).toBeLessThanOrEqual(80)

    await rotateUnderLoad(cli, okta)

    // Everything goes, the key that does it last.
    const tokens = await cli.json('token', 'list', 'acme')
    await cli.ok('rule', 'remove', 'engineers', '--yes')
    await waitFor(() => receiver.users.get(grace.id)?.active === false, { what: 'the loss of the rule to be told' })
    await cli.ok('server', 'remove', 'linear', '--yes')
    for (const { id } of tokens.items) await cli.ok('token', 'remove', 'acme', id, '--yes')
    expect((await cli.json('token', 'list', 'acme')).items).toEqual([])
    expect(await cli.json('directory', 'remove', 'acme', '--yes')).toMatchObject({
      id: 'acme',
      users: expect.any(Number),
    })
    await waitFor(async () => (await cli.json('directory', 'list', '--leaving')).items.length === 0, {
      what: 'the directory to be gone',
      ...patient,
    })
    const audit = await cli.json('audit', 'list', '--actor', 'ada', '--limit', '1')
    expect(audit.items).toMatchObject([{ actor: 'ada', operation: 'DELETE /directories/{id}', status: 202 }])
    const [{ id: keyId }] = (await root.json('key', 'list')).items
    expect(await cli.json('key', 'remove', keyId, '--yes')).toBeNull()
    expect(await cli.run(['key', 'list'])).toMatchObject({ code: 1, stdout: '' })
    for (const noun of ['key', 'rule', 'server', 'directory', 'job', 'alarm'])
      expect((await root.json(noun)).items, noun).toEqual([])
  })
})

/** Add the new one, give it to the identity provider, remove the old one: no request may fail on the way. */
async function rotateUnderLoad(cli: CommandLine, okta: ScimClient): Promise<void> {
  const old = { token: okta.token, id: (await cli.json('token', 'list', 'acme')).items[0].id }
  let current = old.token
  let stopped = false
  const answered = new Map<string, number>()
  const refused: Json[] = []
  const ask = async (number: number) => {
    for (let turn = 0; !stopped; turn++) {
      const token = current
      const scim = new ScimClient(okta.base, token)
      const answer =
        turn % 2 === 0
          ? await scim.send('GET', '/Users?count=1')
          : await scim.send('POST', '/Users', {
              schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
              userName: `load-${number}-${turn}@acme.example`,
            })
      if (answer.status >= 300) refused.push({ status: answer.status, body: answer.body })
      answered.set(`${number} ${token}`, (answered.get(`${number} ${token}`) ?? 0) + 1)
    }
  }
  const askers = [0, 1, 2]
  const stream = Promise.all(askers.map(ask))
  const everybodyUsed = (token: string, times: number) =>
    waitFor(() => askers.every((number) => (answered.get(`${number} ${token}`) ?? 0) >= times), {
      what: 'every asker to be answered',
      ...patient,
    })

  await everybodyUsed(old.token, 5)
  const added = (await cli.ok('token', 'add', 'acme', '--label', 'rotated', '-q')).trim()
  current = added
  await everybodyUsed(added, 2)
  await cli.ok('token', 'remove', 'acme', old.id, '--yes')
  const before = answered.get(`0 ${added}`)!
  await everybodyUsed(added, before + 5)
  stopped = true
  await stream
  expect(refused).toEqual([])
  expect((await new ScimClient(okta.base, old.token).send('GET', '/Users')).status).toBe(401)
}

describe('the command line', () => {
  startTenure()
  beforeAll(async () => {
    const { scimBaseUrl } = await tenure.admin.post('/directories', { id: 'globex', provider: 'entra' })
    const { token } = await tenure.admin.post('/directories/globex/tokens')
    const { connectors } = await tenure.admin.post('/servers', {
      id: 'figma',
      name: 'Figma',
      resource: 'https://figma.example/mcp',
      connectors: [{ type: 'webhook', url: receiver.url }],
    })
    receiver.trust(connectors[0].signingSecret)
    await tenure.admin.put('/rules/designers', { server: 'figma', when: engineering, scopes: ['read'] })
    const scim = new ScimClient(scimBaseUrl, token)
    const { id } = await scim.createUser('linus@globex.example')
    await scim.createGroup('Engineering', [id])
    await tenure.admin.waitUntilSettled()
  })

  it('prints one JSON document for every command', { timeout }, async () => {
    const { body: grant } = await tenure.admin.grant({
      directory: 'globex',
      user: { userName: 'linus@globex.example' },
      server: 'figma',
      scopes: ['read'],
      jti: 'one',
    })
    const [delivery] = (await root.json('delivery', 'list', '--user', 'linus@globex.example')).items
    const second = await root.json('directory', 'add', 'initech', '--provider', 'generic', '--name', 'Initech')
    expect(second).toMatchObject({ id: 'initech', provider: 'generic', name: 'Initech' })
    const token = await root.json('token', 'add', 'initech', '--expires', '1h')
    const credential = await root.json('server', 'credential', 'add', 'figma', '--label', 'production')
    const key = await root.json('key', 'add', 'ci')
    const bare = ['--name', 'x', '--resource', 'https://x.example/mcp', '--webhook', receiver.url]
    expect(await root.json('server', 'add', 'gone', ...bare)).toHaveProperty(['connectors', 0, 'signingSecret'])

    const answers: Array<[string[], unknown]> = [
      [['directory'], { items: expect.any(Array), next: null }],
      [['directory', 'list', '--leaving'], { items: [] }],
      [['directory', 'show', 'globex'], { id: 'globex' }],
      [['directory', 'set', 'globex', '--name', 'Globex', '--silent-after-hours', '48'], { silentAfterHours: 48 }],
      [['directory', 'set', 'globex', '--scim-requests-per-second', '200'], { scimRequestsPerSecond: 200 }],
      [
        ['directory', 'set', 'globex', '--reactivate-on-create'],
        { reactivateOnCreate: true, scimRequestsPerSecond: 200 },
      ],
      [['directory', 'set', 'globex', '--name', 'Globex'], { reactivateOnCreate: true }],
      [['directory', 'set', 'globex', '--no-reactivate-on-create'], { reactivateOnCreate: false }],
      [['token', 'list', 'initech'], { items: [{ id: token.id }] }],
      [['token', 'remove', 'initech', token.id, '--yes'], null],
      [['server'], { items: [{ id: 'figma' }, { id: 'gone' }] }],
      [['server', 'show', 'figma'], { id: 'figma' }],
      [['server', 'set', 'figma', '--concurrency', '3', '--scope', 'read', 'write'], { concurrency: 3 }],
      [['server', 'set', 'figma', '--no-scope'], { scopes: null }],
      [['server', 'pause', 'figma', '--reason', 'a test'], { paused: true, pausedReason: 'a test' }],
      [['server', 'resume', 'figma'], { paused: false }],
      [['server', 'rotate-secret', 'figma'], { signingSecret: expect.stringMatching(/^whsec_/) }],
      [['server', 'credential', 'list', 'figma'], { items: [{ clientId: credential.clientId }] }],
      [['server', 'credential', 'remove', 'figma', credential.clientId, '--yes'], null],
      [['server', 'remove', 'gone', '--no-tell', '--yes'], null],
      [['rule'], { items: [{ id: 'designers' }] }],
      [['rule', 'show', 'designers'], { when: engineering }],
      [
        ['rule', 'test', 'designers', '--user', 'linus@globex.example', '--directory', 'globex'],
        { matches: 1, of: 1, user: { matches: true } },
      ],
      [['rule', 'test', '--when', 'active eq false', '--directory', 'globex'], { matches: 0, of: 1 }],
      [
        ['user', 'list', '--directory', 'globex', '--filter', 'userName sw "linus"'],
        { items: [{ userName: 'linus@globex.example' }] },
      ],
      [['user', 'show', 'linus@globex.example', '--directory', 'globex'], { userName: 'linus@globex.example' }],
      [['user', 'why', delivery.user, 'figma'], { has: true }],
      [['user', 'timeline', delivery.user], { items: expect.any(Array) }],
      [['grant', 'list', '--active', '--user', delivery.user], { items: [{ id: grant.id }] }],
      [['grant', 'show', grant.id], { state: 'active' }],
      [['grant', 'revoke', grant.id, '--yes'], { state: 'closed', closedReason: 'revoked' }],
      [['delivery', 'list', '--server', 'figma', '--state', 'delivered'], { items: expect.any(Array) }],
      [['delivery', 'show', delivery.id], { id: delivery.id, attempts: expect.any(Array) }],
      [['job', 'list', '--kind', 'user'], { items: [] }],
      [['job', 'replay', delivery.id, '--dry-run'], { dryRun: true }],
      [['job', 'replay', '--since', '2h'], { requeued: expect.any(Number) }],
      [['user', 'cut', delivery.user, '--yes'], { epoch: 1 }],
      [
        ['event', 'list', '--user', delivery.user],
        { items: expect.arrayContaining([expect.objectContaining({ kind: 'sessions_revoked' })]) },
      ],
      [['key'], { items: [{ name: 'ci' }] }],
      [['key', 'remove', key.id, '--yes'], null],
      [['audit', 'list', '--since', '1h', '--limit', '2'], { items: [{}, {}], next: expect.any(String) }],
      [['stats'], { users: { living: 1 } }],
      [['alarm'], { next: null }],
      [['rule', 'remove', 'designers', '--yes'], null],
      [['directory', 'remove', 'initech', '--yes'], { id: 'initech' }],
    ]
    for (const [args, expected] of answers) {
      const answer = await root.json(...args)
      if (expected === null) expect(answer, args.join(' ')).toBeNull()
      else expect(answer, args.join(' ')).toMatchObject(expected as object)
    }
  })

  it('keeps the webhooks that are not named when one is added, moved or removed', { timeout }, async () => {
    const bare = ['--name', 'Slack', '--resource', 'https://slack.example/mcp']
    const { connectors } = await root.json('server', 'add', 'slack', ...bare, '--webhook', receiver.url)
    const [first] = connectors
    const second = `${receiver.url}/second`
    expect(await root.ok('server', 'set', 'slack', '--add-webhook', second, '-q')).toMatch(/^whsec_\S+\n$/)
    expect(await root.run(['server', 'set', 'slack', '--webhook', second])).toMatchObject({ code: 2 })
    const moved = `${receiver.url}/moved`
    await root.ok('server', 'set', 'slack', '--webhook', moved, '--connector', first.id)
    const both = await root.json('server', 'show', 'slack')
    expect(both.connectors).toMatchObject([{ id: first.id, url: moved }, { url: second }])
    const remove = ['server', 'set', 'slack', '--remove-connector', first.id]
    expect(await root.run(remove)).toMatchObject({ code: 2, stdout: '' })
    expect(await root.json(...remove, '--yes')).toMatchObject({ connectors: [{ url: second }] })
    await root.ok('server', 'remove', 'slack', '--yes')
  })

  it('follows the pages of a list up to --limit', { timeout }, async () => {
    const ids = Array.from({ length: 5 }, (_, number) => `many-${number}`)
    for (const id of ids) await tenure.admin.post('/directories', { id, provider: 'generic' })
    const { items, next } = await root.json('directory', 'list', '--limit', '3')
    expect(items).toHaveLength(3)
    expect(next).toEqual(expect.any(String))
    const few = await root.run(['directory', 'list', '--limit', '3'])
    expect(few.stdout.trim().split('\n')).toHaveLength(4)
    expect(few.stderr).toBe('These are the first 3; --limit shows more.\n')
    const all = await root.ok('directory', 'list', '--limit', '5000', '-q')
    expect(all.trim().split('\n')).toEqual(expect.arrayContaining(ids))
    for (const id of ids) await tenure.admin.delete(`/directories/${id}`)
  })

  it('refuses in one line, with each field under it, and exits with 1', async () => {
    const unknown = await root.run(['server', 'show', 'nowhere'])
    expect(unknown).toEqual({ code: 1, stdout: '', stderr: 'tenure: Server "nowhere" not found (404)\n' })
    const filter = 'groups.display eq'
    const bad = await root.run([
      'rule',
      'set',
      'bad',
      '--server',
      'figma',
      '--scope',
      'read',
      '--when',
      filter,
      '--directory',
      'globex',
    ])
    expect(bad).toMatchObject({ code: 1, stdout: '' })
    const [first, field, text, mark] = bad.stderr.split('\n')
    expect(first).toMatch(/^tenure: .* \(422\)$/)
    expect(field).toMatch(/^ {2}when: /)
    expect(text).toBe(`    ${filter}`)
    expect(mark).toBe(`    ${' '.repeat(filter.length)}^`)
  })

  it('refuses a wrong key with 1, and says where it is from but not what it is', async () => {
    const key = 'wrong-admin-key-of-nobody'
    const refused = await root.run(['job', 'list'], { env: { TENURE_ADMIN_KEY: key } })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(/^tenure: .* \(401\); the key is from TENURE_ADMIN_KEY\n$/)
    expect(refused.stdout + refused.stderr).not.toContain(key)
  })

  it('takes the key that tenure start has left under TENURE_HOME', async () => {
    const home = mkdtempSync(join(tmpdir(), 'tenure-operator-'))
    try {
      const missing = await root.run(['stats'], { env: { TENURE_ADMIN_KEY: '' }, cwd: home })
      expect(missing).toMatchObject({ code: 2, stdout: '' })
      expect(missing.stderr).toBe('tenure: TENURE_ADMIN_KEY is not set, and .tenure/admin-key cannot be read\n')
      writeFileSync(join(home, 'admin-key'), `${adminKey}\n`, { mode: 0o600 })
      const found = await root.run(['stats', '-q'], { env: { TENURE_ADMIN_KEY: '', TENURE_HOME: home } })
      expect(found).toEqual({ code: 0, stdout: '', stderr: '' })
    } finally {
      rmSync(home, { recursive: true })
    }
  })

  it.each([
    ['an unknown command', ['jbo']],
    ['an unknown verb of a noun with a default', ['job', 'lsit']],
    ['a missing argument', ['user', 'why', 'ada']],
    ['a missing option', ['rule', 'set', 'x']],
    ['an unknown option', ['stats', '--verbose']],
    ['a choice that is none', ['job', 'list', '--state', 'lost']],
    ['a limit that is none', ['job', 'list', '--limit', '0']],
    ['a time that is none', ['audit', 'list', '--since', 'yesterday']],
    ['an id beside filters', ['job', 'replay', 'dlv_1', '--server', 'figma']],
  ])('exits with 2 for %s', async (_what, args) => {
    const refused = await root.run(args)
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toMatch(/^tenure: /)
    expect(refused.stderr).not.toMatch(/^ +at /m)
  })

  it('exits with 4 when Tenure is down, or something else answers', async () => {
    const down = await root.run(['stats'], { env: { TENURE_URL: `http://127.0.0.1:${await freePort()}` } })
    expect(down).toMatchObject({ code: 4, stdout: '' })
    expect(down.stderr).toMatch(/^tenure: cannot reach Tenure at http:\/\/127\.0\.0\.1:\d+: nothing listens there\n$/)
    const elsewhere = { TENURE_URL: receiver.url, TENURE_ADMIN_KEY: 'a-key-for-somewhere-else' }
    const foreign = await root.run(['stats'], { env: elsewhere })
    expect(foreign).toMatchObject({ code: 4, stdout: '' })
    expect(foreign.stderr).toMatch(/^tenure: \S+ answered \d+, which is not Tenure's admin API\n$/)
  })

  it('exits with 3 while a critical alarm is open', { timeout }, async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}/webhooks`
    const connectors = [{ type: 'webhook', url: nowhere }]
    await tenure.admin.post('/servers', { id: 'down', name: 'down', resource: 'https://down.example/mcp', connectors })
    await tenure.admin.put('/rules/everyone', {
      directory: 'globex',
      server: 'down',
      when: 'userName pr',
      scopes: ['read'],
    })
    const alarm = await waitFor(
      async () => {
        await root.run(['job', 'replay', '--server', 'down'])
        const ran = await root.run(['alarm', '-q'])
        return ran.code === 3 ? ran : undefined
      },
      { what: 'the server to be given up', timeoutMs: 120_000 },
    )
    expect(alarm.stdout).toBe('critical server_down server down\n')
    await tenure.admin.delete('/servers/down?tell=false')
  })

  it('exits with 3 when a replay leaves alone what is being sent right now', async () => {
    receiver.behave({ hang: true })
    await tenure.admin.put('/rules/slow', {
      directory: 'globex',
      server: 'figma',
      when: 'userName pr',
      scopes: ['slow'],
    })
    await waitFor(() => receiver.open.size > 0, { what: 'a request without an answer' })
    const id = (await root.ok('delivery', 'list', '--server', 'figma', '-q')).trim()
    const replayed = await root.run(['job', 'replay', id])
    expect(replayed).toMatchObject({ code: 3, stderr: '' })
    expect(replayed.stdout).toContain('Left alone: 1 being sent right now.')
    expect(await root.run(['job', 'replay', id, '--dry-run'])).toMatchObject({ code: 0 })
    receiver.behave()
    receiver.release()
    await tenure.admin.delete('/rules/slow')
    await tenure.admin.waitUntilSettled()
  })

  it('asks before it takes something away, and leaves it where the answer is no', { timeout }, async () => {
    await tenure.admin.put('/rules/kept', {
      directory: 'globex',
      server: 'figma',
      when: 'userName pr',
      scopes: ['read'],
    })
    const remove = ['rule', 'remove', 'kept']
    const unasked = await root.run(remove)
    expect(unasked).toMatchObject({ code: 2, stdout: '' })
    expect(unasked.stderr).toMatch(
      /^This removes the rule kept: read at figma when userName pr\nIt fits 1 active person;/,
    )
    expect(unasked.stderr).toContain('give --yes')
    const no = await root.run(remove, { terminal: { answer: 'n\n' } })
    expect(no).toMatchObject({ code: 1, stdout: '' })
    expect(no.stderr).toContain('nothing was changed')
    expect(await root.run(remove, { terminal: {} })).toMatchObject({ code: 1 })
    expect(await root.json('rule', 'show', 'kept')).toMatchObject({ id: 'kept' })
    expect(await root.run(remove, { terminal: { answer: 'y\n' } })).toMatchObject({ code: 0 })
    expect(await root.run(['rule', 'show', 'kept'])).toMatchObject({ code: 1 })
  })

  it('colours at a terminal only, and nowhere with NO_COLOR', async () => {
    const colour = '\u001b['
    expect((await root.run(['server'], { terminal: {} })).stdout).toContain(colour)
    expect((await root.run(['server'], { terminal: {}, env: { NO_COLOR: '1' } })).stdout).not.toContain(colour)
    expect((await root.run(['server'], { env: { FORCE_COLOR: '1' } })).stdout).not.toContain(colour)
  })

  it('completes commands, options and choices', async () => {
    expect(await root.ok('completion', 'bash')).toContain('complete -F')
    expect(await root.ok('complete', '--', 'server', 'cred')).toMatch(/^credential\t/)
    expect(await root.ok('complete', '--', 'job', 'list', '--state', '')).toMatch(/^failing\t\nparked\t\n/)
  })

  it('loads nothing of the server', async () => {
    const telling = { NODE_OPTIONS: `--import ${new URL('../support/tell-modules.js', import.meta.url).href}` }
    const { stdout } = await root.run(['stats', '-q'], { env: telling })
    const loaded = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).loaded)
    expect(loaded).toContain('commander')
    expect(
      loaded.filter((name) => /^(bullmq|kysely|express|pg|ioredis|pino|prom-client|@opentelemetry)/.test(name)),
    ).toEqual([])
  })
})
