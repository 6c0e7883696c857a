import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { createDatabase, type TestDatabase } from '../support/postgres.ts'
import type { LogLine } from '../support/processes.ts'
import { type RunningTenure, runTenure } from '../support/tenure.ts'
import { waitFor } from '../support/wait-for.ts'
import { startWeb, type Web } from '../support/web.ts'

const place = '/.well-known/oauth-authorization-server'

let database: TestDatabase
let web: Web
let running: RunningTenure[]

beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database?.drop())
beforeEach(async () => {
  running = []
  web = await startWeb()
})
afterEach(async () => {
  for (const tenure of running) await tenure.close()
  await web.close()
})

async function start(variables: Record<string, string>, role: 'api' | 'worker' = 'api'): Promise<RunningTenure> {
  const tenure = await runTenure(role, database, variables)
  running.push(tenure)
  return tenure
}

const said = ({ log }: RunningTenure) => log.filter(({ msg }) => String(msg).startsWith('public_url.'))

function finding(tenure: RunningTenure): Promise<LogLine> {
  return waitFor(() => said(tenure)[0], { what: 'the self-check to be logged' })
}

const [info, warn] = [30, 40]

describe('§7.17: a public address that leads somewhere else is told at the start', () => {
  it.each(['', '/eu/tenure'])('is content with metadata that names it, at the path %j', async (path) => {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const tenure = await start({ PORT: String(port), PUBLIC_URL: url + path })
    expect(await finding(tenure)).toMatchObject({ msg: 'public_url.checked', level: info, url: url + place + path })
    expect(said(tenure)).toHaveLength(1)
  })

  it.each(['https://elsewhere.example', (url: string) => `${url}/x/`, (url: string) => `${url}/X`])(
    'warns of another issuer there, by a letter or a slash too (%#)',
    async (other) => {
      const there = typeof other === 'string' ? other : other(web.url)
      web.put(`${place}/x`, { json: { issuer: there } })
      const tenure = await start({ PUBLIC_URL: `${web.url}/x` })
      expect(await finding(tenure)).toMatchObject({
        msg: 'public_url.differs',
        level: warn,
        issuerThere: there,
        issuerHere: `${web.url}/x`,
      })
      expect(web.asked).toEqual([`${place}/x`])
    },
  )

  it.each([
    ['a refusal', { status: 502 }, 'It answered 502'],
    ['a redirect', { status: 301, location: '/elsewhere' }, 'It answered 301'],
    ['a page', { status: 200, body: '<html>' }, 'What it answered is no metadata'],
    ['metadata that name nobody', { json: {} }, 'What it answered is no metadata'],
  ] as const)('tells the reason where it meets %s', async (_what, page, reason) => {
    web.put(place, page)
    const tenure = await start({ PUBLIC_URL: web.url })
    expect(await finding(tenure)).toMatchObject({ msg: 'public_url.unreachable', level: warn, reason })
    expect(web.asked).toEqual([place])
  })

  it('warns of an address at which nobody listens, and serves all the same', async () => {
    const tenure = await start({ PUBLIC_URL: `http://127.0.0.1:${await freePort()}` })
    const line = await finding(tenure)
    expect(line).toMatchObject({ msg: 'public_url.unreachable', level: warn })
    expect(line.reason).toContain('Could not connect')
    expect((await fetch(tenure.url + place)).status).toBe(200)
  })

  it('does not call a private address that is not listed', async () => {
    const tenure = await start({ PUBLIC_URL: web.url, TENURE_ALLOW_PRIVATE_TARGETS: '' })
    expect((await finding(tenure)).reason).toContain('TENURE_ALLOW_PRIVATE_TARGETS')
    expect(web.asked).toEqual([])
  })

  it('holds up neither the start nor the end', async () => {
    web.put(place, 'stalled')
    const tenure = await start({ PUBLIC_URL: web.url })
    await waitFor(() => web.asked.length === 1, { what: 'the metadata to be asked for' })
    await tenure.close()
    expect(said(tenure)).toEqual([])
  })

  it('is for those that serve the API under an address that was configured', async () => {
    const worker = await start({ PUBLIC_URL: web.url }, 'worker')
    const unnamed = await start({})
    await finding(await start({ PUBLIC_URL: web.url }))
    expect(web.asked).toEqual([place])
    expect([...said(worker), ...said(unnamed)]).toEqual([])
  })
})
