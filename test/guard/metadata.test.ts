import { afterEach, describe, expect, it } from 'vitest'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'

const options = { tenure: 'https://tenure.example', clientId: 'srv_1', clientSecret: 'secret' }
const root = '/.well-known/oauth-protected-resource'
let app: GuardedApp

afterEach(() => app.close())

describe('protected resource metadata (RFC 9728)', () => {
  it.each([
    ['https://mcp.example/mcp', `${root}/mcp`],
    ['https://mcp.example/teams/a/mcp', `${root}/teams/a/mcp`],
    ['https://mcp.example/mcp?project=one', `${root}/mcp`],
    ['https://mcp.example', root],
    ['https://MCP.example:443/mcp', `${root}/mcp`],
  ])('says of %s what it was told, byte for byte, at %s and at the root', async (resource, path) => {
    app = await startGuardedApp({ ...options, resource, scopes: ['read'] })
    for (const place of [path, root]) {
      const response = await fetch(app.url + place)
      expect(response.status).toBe(200)
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(await response.json()).toEqual({
        resource,
        authorization_servers: ['https://tenure.example'],
        scopes_supported: ['read'],
        bearer_methods_supported: ['header'],
      })
    }
  })

  it('names the issuer as Tenure does, without a slash at its end', async () => {
    app = await startGuardedApp({
      ...options,
      tenure: 'https://acme.example/tenure/',
      resource: 'https://mcp.example/mcp',
    })
    const document = (await (await fetch(app.url + root)).json()) as object
    expect(document).toMatchObject({ authorization_servers: ['https://acme.example/tenure'] })
    expect(document).not.toHaveProperty('scopes_supported')
  })

  it.each([
    ['https://mcp.example/mcp', 'https://mcp.example/.well-known/oauth-protected-resource/mcp'],
    ['https://mcp.example', 'https://mcp.example/.well-known/oauth-protected-resource'],
    ['https://mcp.example/mcp?project=one', 'https://mcp.example/.well-known/oauth-protected-resource/mcp?project=one'],
  ])('is where the challenge for %s points', async (resource, url) => {
    app = await startGuardedApp({ ...options, resource })
    expect((await app.get()).headers.get('www-authenticate')).toBe(`Bearer resource_metadata="${url}"`)
  })

  it('is read with GET, by a browser too, and passes everything else on', async () => {
    app = await startGuardedApp({ ...options, resource: 'https://mcp.example/mcp' })
    const post = await fetch(app.url + root, { method: 'POST' })
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
    expect((await fetch(app.url + root, { method: 'OPTIONS' })).status).toBe(204)
    expect((await fetch(`${app.url}${root}/other`)).status).toBe(404)
  })
})
