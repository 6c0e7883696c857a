import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backends, type RunningBackend } from '../support/backends.ts'
import type { ScimClient } from '../support/clients.ts'
import {
  type RegisteredServer,
  type RunningTenure,
  registerDirectory,
  registerServer,
  runTenure,
} from '../support/tenure.ts'

describe.each(backends())('the chain, with jobs on $name', ({ start }) => {
  let backend: RunningBackend
  let tenure: RunningTenure
  let okta: ScimClient
  let linear: RegisteredServer

  beforeAll(async () => {
    backend = await start()
    tenure = await runTenure('all', { ...backend.database, redisUrl: backend.redisUrl })
    okta = await registerDirectory(tenure.admin, 'acme')
    linear = await registerServer(tenure.admin, 'linear')
    await tenure.admin.put('/rules/engineers', {
      server: 'linear',
      when: 'groups.display eq "Engineering"',
      scopes: ['read', 'write'],
    })
  })
  afterAll(async () => {
    await tenure?.close()
    await linear?.receiver.close()
    await backend?.stop()
  })

  it('tells a server of a joiner, and cuts a leaver before the identity provider has its answer', async () => {
    const { id } = await okta.createUser('ada@acme.example')
    const group = await okta.createGroup('Engineering')
    await okta.addMembers(group.id, id)
    const joined = await linear.receiver.waitFor(({ message }) => message.data.user.id === id)
    expect(joined).toMatchObject({
      signatureValid: true,
      message: {
        type: 'access.granted',
        data: { active: true, scopes: ['read', 'write'], clients: [], notBefore: null },
      },
    })

    const granted = await tenure.admin.grant({
      directory: 'acme',
      user: { userName: 'ADA@acme.example' },
      server: 'linear',
      scopes: ['read'],
      token: 'at-ada',
      jti: 'ada-1',
    })
    expect(granted.status).toBe(201)
    expect(await tenure.admin.introspect('at-ada')).toMatchObject({
      active: true,
      scope: 'read',
      client_id: 'claude',
      sub: id,
      aud: 'https://linear.example/mcp',
    })

    await okta.setActive(id, false)
    expect(await tenure.admin.introspect('at-ada')).toEqual({ active: false })
    const left = await linear.receiver.waitFor(({ message }) => message.data.user.id === id && !message.data.active)
    expect(left.message).toMatchObject({
      type: 'access.revoked',
      data: {
        scopes: [],
        user: { userName: 'ada@acme.example' },
        revokedGrants: [{ id: granted.body.id, client: 'claude', jti: 'ada-1' }],
        cause: { kind: 'left', source: 'scim' },
      },
    })
    expect(left.message.data.generation).toBeGreaterThan(joined.message.data.generation)
  })
})
