import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tokenKey } from '../../src/guard/token-key.ts'
import { waitFor } from '../support/wait-for.ts'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { resource, type StandIn, secondsAgo, startStandIn } from './stand-in.ts'

/** Known pitfalls of protected resources, by the numbers of docs/mcp-server.md. What they are about is tested at length beside. */

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
  app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret, scopes: ['read'] })
})
afterEach(async () => {
  await app.close()
  await tenure.close()
})

const statusOf = async (token: string) => (await app.get(token)).status
const challengeOf = async (token?: string) => (await app.get(token)).headers.get('www-authenticate')

describe('tokens', () => {
  it('§7.7: several audiences and unknown confirmation claims fail closed', async () => {
    expect(await statusOf(tenure.issue({ aud: [resource, resource] }))).toBe(401)
    expect(await statusOf(tenure.issue({ aud: [] }))).toBe(401)
    expect(await statusOf(tenure.issue({ cnf: { 'x5t#S256': 'thumbprint' } }))).toBe(401)
    expect(await statusOf(tenure.issue({ cnf: {} }))).toBe(401)
  })

  it('§7.9: a client that narrowed too far is told the scopes that are needed', async () => {
    const token = tenure.issue({ scope: 'write' })
    expect(await statusOf(token)).toBe(403)
    expect(await challengeOf(token)).toMatch(/error="insufficient_scope".*scope="read"/)
  })

  it('§7.10: a scope of the same name at another server is no scope here', async () => {
    expect(await statusOf(tenure.issue({ aud: 'http://127.0.0.1/other', scope: 'read' }))).toBe(401)
  })

  it('§7.12: a token for the authorization server or its token endpoint is refused, and the operator told which', async () => {
    for (const aud of [tenure.url, `${tenure.url}/oauth2/token`])
      expect(await statusOf(tenure.issue({ aud }))).toBe(401)
    expect(app.errors[0]!.message).toContain(tenure.url)
  })

  it('§7.16: a slash at the end is a difference', async () => {
    expect(await statusOf(tenure.issue({ aud: `${resource}/` }))).toBe(401)
    expect(await statusOf(tenure.issue({ iss: `${tenure.url}/` }))).toBe(401)
  })

  it('§7.34: a token that is bound to a key, shown without it, is refused in words that name the cause', async () => {
    expect(await challengeOf(tenure.issue({ cnf: { jkt: 'thumbprint' } }))).toContain(
      'bound to a key that was not shown',
    )
  })
})

describe('revocation', () => {
  it('§7.22: a revoked token stays refused, and a new one is believed only if Tenure says so', async () => {
    const [old, next] = [tenure.issue({ iat: secondsAgo(60) }), tenure.issue({ iat: secondsAgo(-1) })]
    expect(await statusOf(old)).toBe(200)
    await tenure.tell(app.webhookUrl)
    expect(await statusOf(old)).toBe(401)
    tenure.cut('ada')
    expect(await statusOf(next)).toBe(401)
  })

  it('§7.23: running calls and streams do not outlive it', async () => {
    const token = tenure.issue()
    const [call, stream] = [app.run('hold', token), app.run('stream', token)]
    await waitFor(() => app.runs.length === 2, { what: 'both to be let in' })
    await tenure.tell(app.webhookUrl)
    expect((await call).status).toBe(401)
    await (await stream).text()
    expect(app.runs.map(({ signal }) => signal.aborted)).toEqual([true, true])
  })

  it('§7.43: only introspection says whether a token is good', async () => {
    const token = tenure.issue()
    tenure.revoke(token)
    expect(await statusOf(token)).toBe(401)
    expect(tenure.asked).toEqual([token])
  })

  it('§7.44: messages that come late, twice or out of order do not undo later ones', async () => {
    const token = tenure.issue({ iat: secondsAgo(60) })
    const granted = tenure.message({ active: true, scopes: ['read', 'write'] })
    const left = tenure.message()
    for (const message of [left, granted, left, granted])
      expect((await fetch(app.webhookUrl, { method: 'POST', ...message })).status).toBe(204)
    expect(await statusOf(token)).toBe(401)
  })
})

describe('metadata', () => {
  const documentOf = async (given: GuardedApp) =>
    (await fetch(`${given.url}/.well-known/oauth-protected-resource`)).json() as Promise<Record<string, unknown>>

  it('§7.31: names the scopes to ask for, as the challenge does', async () => {
    expect((await documentOf(app)).scopes_supported).toEqual(['read'])
    expect(await challengeOf()).toContain('scope="read"')
  })

  it.each(['https://mcp.example', 'https://mcp.example/mcp?project=one'])('§7.47: says %s as it is', async (given) => {
    const other = await startGuardedApp({ ...tenure.options, resource: given })
    expect((await documentOf(other)).resource).toBe(given)
    await other.close()
  })

  it('§7.48: names one authorization server', async () => {
    expect((await documentOf(app)).authorization_servers).toEqual([tenure.url])
  })
})

describe('what is kept', () => {
  it('§7.49: is kept by a hash of issuer and token', () => {
    const token = tenure.issue()
    const key = tokenKey(tenure.url, token)
    expect(key).toMatch(/^[\w-]{43}$/)
    expect(tokenKey(tenure.url, token)).toBe(key)
    expect(tokenKey('https://other.example', token)).not.toBe(key)
    expect(tokenKey(`${tenure.url}x`, token)).not.toBe(tokenKey(tenure.url, `x${token}`))
  })
})
