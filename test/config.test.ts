import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { ConfigError, obtainKeys, readCliConfig, readConfig } from '../src/config.ts'

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
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_TRACES_SAMPLER_ARG', '10'],
    ['OTEL_TRACES_SAMPLER_ARG', 'half'],
  ])('refuses %s=%s, naming the variable', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(new RegExp(name))
  })

  it.each([
    ['https://Tenure.Example', 'https://tenure.example'],
    ['HTTPS://tenure.example', 'https://tenure.example'],
    ['https://tenure.example:443', 'https://tenure.example'],
    ['http://tenure.example:80/x', 'http://tenure.example/x'],
    ['https://tenure.example/', 'https://tenure.example'],
    ['https://tenure.example/x/', 'https://tenure.example/x'],
    ['https://tenure.example/a/../x', 'https://tenure.example/x'],
    ['https://tenure.example/./x', 'https://tenure.example/x'],
    ['https://tenure.example?', 'https://tenure.example'],
    ['https://tenure.example/x?q=1', 'https://tenure.example/x'],
    ['https://tenure.example/#', 'https://tenure.example'],
    ['https://ada:a-password@tenure.example/x', 'https://tenure.example/x'],
    [' https://tenure.example', 'https://tenure.example'],
    ['https:\\\\tenure.example\\x', 'https://tenure.example/x'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
  ])('refuses PUBLIC_URL=%s, and says that it is spelled %s', (given, right) => {
    const refusal = refusalOf({ PUBLIC_URL: given })
    expect(refusal).toBeInstanceOf(ConfigError)
    expect(refusal.message).toBe(`PUBLIC_URL must be spelled ${right}`)
    expect(readConfig({ PUBLIC_URL: right }).publicUrl).toBe(right)
  })

  it.each(['tenure.example', 'ftp://tenure.example', 'https://', '/x'])('finds no PUBLIC_URL in %s', (given) => {
    expect(refusalOf({ PUBLIC_URL: given }).message).toBe('PUBLIC_URL must be an http or https URL')
  })

  it.each([
    'https://tenure.example',
    'http://127.0.0.1:8480',
    'http://[::1]:8480',
    'https://tenure.example:8443/eu/tenure',
  ])('takes PUBLIC_URL=%s as it is', (given) => {
    expect(readConfig({ PUBLIC_URL: given }).publicUrl).toBe(given)
  })

  it.each([
    [{}, undefined],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER_ARG: '' }, undefined],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' },
      { url: 'http://collector:4318/v1/traces', serviceName: 'tenure', share: 1 },
    ],
    [
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318',
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example/in',
        OTEL_SERVICE_NAME: 'tenure-eu',
        OTEL_TRACES_SAMPLER_ARG: '0.1',
      },
      { url: 'https://traces.example/in', serviceName: 'tenure-eu', share: 0.1 },
    ],
  ])('traces as OpenTelemetry has it, given %o', (env, tracing) => {
    expect(readConfig(env)).toMatchObject({ tracing })
  })

  it('takes empty variables for absent ones, as compose files leave them', () => {
    expect(readConfig({ DATABASE_URL: '', REDIS_URL: '', TENURE_ADMIN_KEY: '', TENURE_SECRET_KEY: '' })).toMatchObject({
      databaseUrl: undefined,
      redisUrl: undefined,
      adminKeys: undefined,
      secretKeys: undefined,
    })
  })
})

describe.each([
  ['DATABASE_URL', 'postgres://tenure:a-password@db/tenure', 'databaseUrl', 'postgres://tenure:a-password@db/tenure'],
  ['REDIS_URL', 'rediss://:a-password@queue', 'redisUrl', 'rediss://:a-password@queue'],
  ['TENURE_ADMIN_KEY', 'admin-key-of-test,another-admin-key', 'adminKeys', ['admin-key-of-test', 'another-admin-key']],
  ['TENURE_SECRET_KEY', 's'.repeat(32), 'secretKeys', ['s'.repeat(32)]],
] as const)('%s in a file', (name, secret, field, understood) => {
  const folder = mkdtempSync(join(tmpdir(), 'tenure-config-files-'))
  const file = join(folder, 'secret')
  afterEach(() => rmSync(file, { force: true }))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each(['', '\n', '\r\n'])('is read as if it stood in the variable, with %j after it', (end) => {
    writeFileSync(file, `${secret}${end}`)
    expect(readConfig({ [`${name}_FILE`]: file })[field]).toEqual(understood)
    expect(readConfig({ [`${name}_FILE`]: '', [name]: secret })[field]).toEqual(understood)
  })

  it('is refused when it stands in the variable too, is empty or is not there, without a word of what it says', () => {
    writeFileSync(file, secret)
    const refusals = [refusalOf({ [`${name}_FILE`]: file, [name]: secret })]
    writeFileSync(file, ' \n')
    refusals.push(refusalOf({ [`${name}_FILE`]: file }))
    refusals.push(refusalOf({ [`${name}_FILE`]: secret }))
    for (const refusal of refusals) {
      expect(refusal).toBeInstanceOf(ConfigError)
      expect(refusal.message).toContain(`${name}_FILE`)
      expect(refusal.message).not.toContain(secret)
    }
  })

  it('is held to what the variable is held to', () => {
    writeFileSync(file, 'not-this')
    const refusal = refusalOf({ [`${name}_FILE`]: file })
    expect(refusal.message).toContain(name)
    expect(refusal.message).not.toContain('not-this')
  })
})

it('takes the migration URL from a file', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'tenure-config-')), 'url')
  writeFileSync(file, 'postgres://owner:a-password@db/tenure\n')
  const env = { DATABASE_URL: 'postgres://tenure@db/tenure', DATABASE_MIGRATION_URL_FILE: file }
  expect(readConfig(env).migrationUrl).toBe('postgres://owner:a-password@db/tenure')
  rmSync(join(file, '..'), { recursive: true })
})

it('gives the command line its admin key from a file', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'tenure-config-')), 'key')
  writeFileSync(file, 'admin-key-of-test,another-admin-key\n')
  expect(readCliConfig({ TENURE_ADMIN_KEY_FILE: file }).adminKey).toBe('admin-key-of-test')
  expect(() => readCliConfig({ TENURE_ADMIN_KEY_FILE: file, TENURE_ADMIN_KEY: 'x' })).toThrow('TENURE_ADMIN_KEY_FILE')
  rmSync(join(file, '..'), { recursive: true })
})

function refusalOf(env: NodeJS.ProcessEnv): Error {
  try {
    readConfig(env)
  } catch (error) {
    return error as Error
  }
  throw new Error('it was taken')
}

describe('keys', () => {
  it('are generated once under TENURE_HOME, for its owner only', () => {
    const config = readConfig({ TENURE_HOME: home })
    const first = obtainKeys(config)
    expect(obtainKeys(config)).toEqual(first)
    expect(readFileSync(first.adminKeyFile!, 'utf8').trim()).toBe(first.adminKeys[0])
    expect(statSync(first.adminKeyFile!).mode & 0o777).toBe(0o600)
  })

  it.each(['TENURE_ADMIN_KEY', 'TENURE_SECRET_KEY'])('want %s when several processes share a database', (missing) => {
    const given = { TENURE_ADMIN_KEY: 'a'.repeat(16), TENURE_SECRET_KEY: 's'.repeat(32), [missing]: '' }
    expect(() => obtainKeys(readConfig({ DATABASE_URL: 'postgres://db/tenure', ...given }))).toThrow(
      new RegExp(missing),
    )
  })
})
