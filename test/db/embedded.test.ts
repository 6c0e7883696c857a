import { execFile, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startEmbedded } from '../../src/db/embedded/embedded.ts'
import { createLogger } from '../../src/log.ts'
import { startScript, type TestProcess } from '../support/processes.ts'
import { waitFor } from '../support/wait-for.ts'

const isRoot = process.geteuid?.() === 0
const log = createLogger({ level: 'silent' })
const nobody = 65_534
let folders: string[] = []
let made: string
let home: string

async function newFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tenure-embedded-')))
  folders.push(folder)
  return folder
}

// Making a database takes longer than all the rest, so most tests begin with a copy of this one.
beforeAll(async () => {
  made = await newFolder()
  folders = []
  const database = await startEmbedded({ home: made, log })
  await query(database.ownerUrl, 'create table kept as select 42 as value')
  await database.stop()
})
beforeEach(async () => {
  home = await newFolder()
  await promisify(execFile)('cp', ['-a', `${made}/.`, home])
})
afterEach(async () => {
  for (const folder of folders.splice(0)) {
    await expect.poll(() => processesOf(folder), { timeout: 20_000 }).toEqual([])
    await rm(folder, { recursive: true, force: true })
  }
})
afterAll(() => rm(made, { recursive: true, force: true }))

const hold = (options: { home?: string; uid?: number; gid?: number; cwd?: string } = {}): TestProcess => {
  const { home: folder = home, ...place } = options
  return startScript('test/support/hold-embedded.ts', { args: [folder], ...place })
}

interface Started {
  ownerUrl: string
  url: string
  keeperPid: number
  postgresPid: number
}

async function untilStarted(holder: TestProcess): Promise<Started> {
  const [logged, urls] = await Promise.all([
    holder.waitForLine(({ msg }) => msg === 'database.started'),
    holder.waitForLine(({ ownerUrl }) => ownerUrl !== undefined),
  ])
  return { ...logged, ...urls } as unknown as Started
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query({ text, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

const keepRow = (ownerUrl: string) => query(ownerUrl, 'update kept set value = 43')
const keptRow = (ownerUrl: string) => query(ownerUrl, 'select value from kept')

/** Command lines of live processes that name the folder: keeper and Postgres alike. */
function processesOf(folder: string): string[] {
  const commands = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => `${pid} ${readCommand(pid)}`)
  return commands.filter((command) => command.includes(folder))
}

function readCommand(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

describe.runIf(process.platform === 'linux')('embedded database', () => {
  it('keeps its data from one start to the next, and leaves nothing running in between', async () => {
    home = await newFolder()
    const first = await startEmbedded({ home, log })
    expect(processesOf(home)).toHaveLength(2)
    await query(first.ownerUrl, 'create table kept as select 43 as value')
    await first.stop()
    expect(processesOf(home)).toEqual([])
    await expect(first.exited).resolves.toBeUndefined()

    const second = await startEmbedded({ home, log })
    expect(await keptRow(second.ownerUrl)).toEqual([43])
    await second.stop()
  })

  it('has an owner of everything and a role that owns nothing, both with a password', async () => {
    const database = await startEmbedded({ home, log })
    expect(await query(database.ownerUrl, 'select current_user')).toEqual(['tenure_owner'])
    expect(await query(database.url, 'select current_user')).toEqual(['tenure'])
    await expect(query(database.url, 'create table mine (id int)')).rejects.toThrow('permission denied')
    await expect(query(database.url.replace(/:[^:@]+@/, ':wrong@'), 'select 1')).rejects.toThrow(
      'password authentication failed',
    )
    const settings = `select name || '=' || setting from pg_settings
      where name in ('fsync', 'synchronous_commit', 'listen_addresses', 'server_encoding') order by name`
    expect(await query(database.ownerUrl, settings)).toEqual([
      'fsync=on',
      'listen_addresses=127.0.0.1',
      'server_encoding=UTF8',
      'synchronous_commit=on',
    ])
    const socketFolder = (await readFile(join(home, 'postgres', 'data', 'postmaster.pid'), 'utf8')).split('\n')[4]
    expect(socketFolder).toBe('')
    await database.stop()
  })

  it('lets nobody else read its secrets', async () => {
    home = await newFolder()
    const database = await startEmbedded({ home, log })
    await database.stop()
    expect((await stat(home)).mode & 0o777).toBe(isRoot ? 0o711 : 0o700)
    for (const file of ['database.json', 'keeper.lock', 'postgres.log']) {
      expect([file, (await stat(join(home, file))).mode & 0o777]).toEqual([file, 0o600])
    }
    expect((await stat(join(home, 'postgres'))).mode & 0o777).toBe(0o700)
  })

  it('stops when its parent is told to', async () => {
    const holder = hold({ cwd: '/' })
    await untilStarted(holder)
    expect(await holder.kill('SIGTERM')).toEqual({ code: 0, signal: null })
    expect(processesOf(home)).toEqual([])
  })

  it('is out of reach of a Ctrl-C that its parent gets', async () => {
    const holder = hold()
    const { keeperPid } = await untilStarted(holder)
    const processGroup = Number(readFileSync(`/proc/${keeperPid}/stat`, 'utf8').split(') ')[1]!.split(' ')[2])
    expect(processGroup).toBe(keeperPid)
    await holder.kill('SIGTERM')
  })

  it('stops in order when somebody else tells the keeper to, and says so', async () => {
    const holder = hold()
    const { keeperPid } = await untilStarted(holder)
    process.kill(keeperPid, 'SIGTERM')
    const { lost } = await holder.waitForLine((line) => line.lost !== undefined)
    expect(lost).toBe('The embedded database was told to stop by somebody else')
    expect(await readFile(join(home, 'postgres.log'), 'utf8')).toContain('database system is shut down')
    await holder.kill()
  })

  it('stops when its parent is killed, and the next start waits for that and finds the data', async () => {
    const holder = hold()
    await keepRow((await untilStarted(holder)).ownerUrl)
    await holder.kill('SIGKILL')
    const next = await startEmbedded({ home, log })
    expect(await keptRow(next.ownerUrl)).toEqual([43])
    await next.stop()
  })

  it('leaves nothing running when its parent is killed', async () => {
    const holder = hold()
    await untilStarted(holder)
    await holder.kill('SIGKILL')
    await waitFor(() => processesOf(home).length === 0, { what: 'keeper and Postgres to end' })
  })

  it('stops when its parent is killed while it starts', async () => {
    home = await newFolder()
    const holder = hold()
    await waitFor(() => processesOf(home).length > 1, { what: 'the keeper' })
    await holder.kill('SIGKILL')
    await waitFor(() => processesOf(home).length === 0, { what: 'everything to end' })
    const next = await startEmbedded({ home, log })
    await next.stop()
  })

  it('takes over from a Postgres whose parent and keeper were both killed', async () => {
    const holder = hold()
    const { ownerUrl, keeperPid, postgresPid } = await untilStarted(holder)
    await keepRow(ownerUrl)
    process.kill(keeperPid, 'SIGKILL')
    await holder.kill('SIGKILL')
    expect(processesOf(home)).toEqual([expect.stringContaining(String(postgresPid))])

    const next = await startEmbedded({ home, log })
    expect(await keptRow(next.ownerUrl)).toEqual([43])
    await next.stop()
  })

  it('is not blocked by a lock file whose process is another program by now', async () => {
    const holder = hold()
    const { ownerUrl, keeperPid, postgresPid } = await untilStarted(holder)
    await keepRow(ownerUrl)
    for (const pid of [keeperPid, postgresPid]) process.kill(pid, 'SIGKILL')
    await holder.kill('SIGKILL')
    const data = join(home, 'postgres', 'data')
    const lock = (await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n')
    const stranger = spawn('sleep', ['60'], isRoot ? { uid: (await stat(data)).uid } : {})
    await writeFile(join(data, 'postmaster.pid'), [stranger.pid, ...lock.slice(1)].join('\n'))

    const next = await startEmbedded({ home, log })
    expect(await keptRow(next.ownerUrl)).toEqual([43])
    await next.stop()
    stranger.kill()
  })

  it('refuses a second process while the first lives, naming it', async () => {
    const holder = hold()
    await untilStarted(holder)
    await expect(startEmbedded({ home, log })).rejects.toMatchObject({
      code: 'ERR_HOME_IN_USE',
      message: expect.stringContaining(`TENURE_HOME ${home} is in use by process ${holder.pid}`),
    })
    await holder.kill('SIGTERM')
  })

  it('gives an empty home to exactly one of two that start at once', async () => {
    home = await newFolder()
    const outcomes = await Promise.allSettled([startEmbedded({ home, log }), startEmbedded({ home, log })])
    const won = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
    expect([won.length, lost.map(({ reason }) => reason.code)]).toEqual([1, ['ERR_HOME_IN_USE']])
    await won[0]!.value.stop()
  })

  it('says so when Postgres ends by itself', async () => {
    const holder = hold()
    const { postgresPid } = await untilStarted(holder)
    process.kill(postgresPid, 'SIGKILL')
    const { lost } = await holder.waitForLine((line) => line.lost !== undefined)
    expect(lost).toContain('Postgres ended by itself (killed by SIGKILL)')
    await holder.kill()
  })

  it('quotes the log of a Postgres that does not start', async () => {
    await writeFile(join(home, 'postgres', 'data', 'postgresql.conf'), 'no_such_setting = 1\n')
    await expect(startEmbedded({ home, log })).rejects.toMatchObject({
      code: 'ERR_EMBEDDED_DATABASE',
      message: expect.stringContaining('unrecognized configuration parameter "no_such_setting"'),
    })
  })

  it('never begins anew where a database is missing', async () => {
    await rm(join(home, 'postgres'), { recursive: true })
    await expect(startEmbedded({ home, log })).rejects.toThrow(`is gone from ${home}/postgres/data`)
  })
})

describe.runIf(isRoot && process.platform === 'linux')('embedded database as root', () => {
  it('keeps its data elsewhere when the home is closed to the user that runs Postgres', async () => {
    const closed = await newFolder()
    await chmod(closed, 0o700)
    const inside = join(closed, 'home')
    const holder = hold({ home: inside })
    await query((await untilStarted(holder)).ownerUrl, 'create table kept as select 43 as value')
    const elsewhere = dirname(String(holder.lines.find(({ dataFolder }) => dataFolder)?.dataFolder))
    try {
      expect(elsewhere).toMatch(/^\/var\/lib\/tenure\/[0-9a-f]{16}$/)
      expect(holder.lines).toContainEqual(
        expect.objectContaining({ msg: expect.stringContaining(`the database is in ${elsewhere}`) }),
      )
      await holder.kill('SIGTERM')
      const next = await startEmbedded({ home: inside, log })
      expect(await keptRow(next.ownerUrl)).toEqual([43])
      await next.stop()
    } finally {
      await holder.kill()
      await rm(elsewhere, { recursive: true, force: true })
    }
  })

  it('refuses a home that root made, opened as somebody else', async () => {
    const other = hold({ uid: nobody, gid: nobody })
    expect(await other.waitForLine(({ code }) => code !== undefined)).toMatchObject({
      code: 'ERR_HOME_OWNER',
      message: expect.stringMatching(
        new RegExp(`^TENURE_HOME ${home} belongs to root, but this process would use it as nobody`),
      ),
    })
  })

  it('refuses a home that somebody else made, opened as root', async () => {
    home = await newFolder()
    await chown(home, nobody, nobody)
    const other = hold({ uid: nobody, gid: nobody })
    await untilStarted(other)
    await other.kill('SIGTERM')
    await expect(startEmbedded({ home, log })).rejects.toMatchObject({
      code: 'ERR_HOME_OWNER',
      message: expect.stringContaining(`TENURE_HOME ${home} belongs to nobody, but this process would use it as root`),
    })
  })

  it('refuses a database folder that is not its own', async () => {
    await chown(join(home, 'postgres', 'data'), nobody, nobody)
    await expect(startEmbedded({ home, log })).rejects.toMatchObject({
      code: 'ERR_HOME_OWNER',
      message: expect.stringContaining(
        `The database folder ${home}/postgres/data belongs to nobody, but this process would use it as postgres`,
      ),
    })
  })
})
