import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { obtainKeys, readConfig } from '../src/config.ts'

const home = mkdtempSync(join(tmpdir(), 'tenure-config-'))
afterEach(() => rmSync(home, { recursive: true, force: true }))

describe('the environment', () => {
  it('has the defaults that the README lists', () => {
    expect(readConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 8480,
      publicUrl: undefined,
      databaseUrl: undefined,
      redisUrl: undefined,
      home: join(process.cwd(), '.tenure'),
      allowPrivateTargets: [],
      logLevel: 'info',
    })
  })

  it.each([
    ['PORT', 'http'],
    ['PORT', '70000'],
    ['PUBLIC_URL', 'tenure.example'],
    ['DATABASE_URL', 'mysql://x'],
    ['REDIS_URL', 'localhost:6379'],
    ['LOG_LEVEL', 'loud'],
    ['TENURE_ADMIN_KEY', 'short'],
    ['TENURE_SECRET_KEY', 'short'],
    ['TENURE_ALLOW_PRIVATE_TARGETS', '10.0.0.0/99'],
  ])('refuses %s=%s, naming the variable', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(new RegExp(name))
  })

  it('takes empty variables for absent ones, as compose files leave them', () => {
    expect(readConfig({ DATABASE_URL: '', REDIS_URL: '', TENURE_ADMIN_KEY: '', TENURE_SECRET_KEY: '' })).toMatchObject({
      databaseUrl: undefined,
      redisUrl: undefined,
      adminKey: undefined,
      secretKeys: undefined,
    })
  })
})

describe('keys', () => {
  it('are generated once under TENURE_HOME, for its owner only', () => {
    const config = readConfig({ TENURE_HOME: home })
    const first = obtainKeys(config)
    expect(obtainKeys(config)).toEqual(first)
    expect(readFileSync(first.adminKeyFile!, 'utf8').trim()).toBe(first.adminKey)
    expect(statSync(first.adminKeyFile!).mode & 0o777).toBe(0o600)
  })

  it.each(['TENURE_ADMIN_KEY', 'TENURE_SECRET_KEY'])('want %s when several processes share a database', (missing) => {
    const given = { TENURE_ADMIN_KEY: 'a'.repeat(16), TENURE_SECRET_KEY: 's'.repeat(32), [missing]: '' }
    expect(() => obtainKeys(readConfig({ DATABASE_URL: 'postgres://db/tenure', ...given }))).toThrow(
      new RegExp(missing),
    )
  })
})
