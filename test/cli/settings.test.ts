import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readCliConfig } from '../../src/config.ts'

const home = mkdtempSync(join(tmpdir(), 'tenure-cli-'))
writeFileSync(join(home, 'admin-key'), 'tenure_generated-key\n', { mode: 0o600 })
afterAll(() => rmSync(home, { recursive: true, force: true }))

describe('what the command line reads from the environment', () => {
  it('is where Tenure answers, without a slash at the end', () => {
    const key = { TENURE_ADMIN_KEY: 'a'.repeat(16) }
    expect(readCliConfig(key).url).toBe('http://127.0.0.1:8480')
    expect(readCliConfig({ ...key, TENURE_URL: '' }).url).toBe('http://127.0.0.1:8480')
    expect(readCliConfig({ ...key, TENURE_URL: 'https://tenure.example/base/' }).url).toBe(
      'https://tenure.example/base',
    )
  })

  it('is the key, before the one that lies under TENURE_HOME', () => {
    expect(readCliConfig({ TENURE_HOME: home })).toMatchObject({
      adminKey: 'tenure_generated-key',
      adminKeySource: join(home, 'admin-key'),
    })
    expect(readCliConfig({ TENURE_HOME: home, TENURE_ADMIN_KEY: 'given-admin-key-1' })).toMatchObject({
      adminKey: 'given-admin-key-1',
      adminKeySource: 'TENURE_ADMIN_KEY',
    })
  })

  it('is the first of several keys, any of which opens', () => {
    expect(readCliConfig({ TENURE_ADMIN_KEY: 'first-admin-key-1, second-admin-key' }).adminKey).toBe(
      'first-admin-key-1',
    )
  })

  it.each([
    ['ftp://tenure.example', /TENURE_URL/],
    ['tenure.example:8480', /TENURE_URL/],
    ['http://ada:secret@tenure.example', /TENURE_URL/],
    ['http://tenure.example/?a=b', /TENURE_URL/],
  ])('is refused when TENURE_URL is %s, without repeating it', (url, message) => {
    const read = () => readCliConfig({ TENURE_URL: url, TENURE_ADMIN_KEY: 'a'.repeat(16) })
    expect(read).toThrow(message)
    expect(read).not.toThrow(url)
  })

  it('is refused without a key, and with one that no header can carry, without repeating it', () => {
    const empty = join(home, 'empty')
    mkdirSync(empty)
    expect(() => readCliConfig({ TENURE_HOME: empty })).toThrow(
      /TENURE_ADMIN_KEY is not set, and .*admin-key cannot be/,
    )
    expect(() => readCliConfig({ TENURE_ADMIN_KEY: 'clé-secrète-éàü' })).toThrow(
      /^TENURE_ADMIN_KEY holds no usable key$/,
    )
    expect(() => readCliConfig({ TENURE_ADMIN_KEY: ' , ' })).toThrow(/no usable key/)
  })
})
