import { expect, it } from 'vitest'
import { AdminClient, type Json, userSchema } from '../../support/clients.ts'
import { bulkOf, newName, patchOf, providers, serviceProvider } from './service-provider.ts'

const running = serviceProvider()

/**
 * Other products let a directory's users administer them, and an identity provider that deactivates the last of those
 * locks everybody out. Here operators hold keys, and a user of the mirror is nobody's operator.
 */
it('locks no operator and no identity provider out, whatever is written by SCIM', async () => {
  const { admin } = running.tenure
  const name = newName('root')
  const { id, key } = await admin.post('/keys', { name })
  const operator = new AdminClient(admin.url, key)
  const before = [await operator.get('/keys'), await operator.get('/directories')].map(({ items }) => items.length)

  for (const provider of providers) {
    const scim = running.scim(provider)
    // By everything that an operator is known by.
    for (const userName of [name, id, 'root', `operator-${provider}`]) {
      const user = await scim.createUser(userName, { externalId: id, roles: [{ value: 'admin' }] })
      const group = await scim.createGroup(newName('Administrators'), [user.id])
      await scim.call('PUT', `/Users/${user.id}`, { schemas: [userSchema], userName, active: false })
      await scim.call('PATCH', `/Users/${user.id}`, patchOf({ op: 'replace', value: { active: false } }))
      await scim.call('PATCH', `/Groups/${group.id}`, patchOf({ op: 'remove', path: 'members' }))
      const gone = [`/Groups/${group.id}`, `/Users/${user.id}`].map((path) => ({ method: 'DELETE', path }))
      const { Operations } = await scim.call('POST', '/Bulk', bulkOf(...gone))
      expect(Operations.map(({ status }: Json) => status)).toEqual(['204', '204'])
    }
    expect((await scim.call('GET', '/Users')).totalResults).toBe(0)
    const back = await scim.createUser(name)
    expect(await operator.get(`/users/${back.id}`)).toMatchObject({ active: true, hold: null })
    await scim.setActive(back.id, false)
  }

  const after = [await operator.get('/keys'), await operator.get('/directories')].map(({ items }) => items.length)
  expect(after).toEqual(before)
  expect((await operator.post('/directories/generic/tokens')).token).toEqual(expect.any(String))
  expect((await operator.post('/keys', { name: newName('another') })).key).toEqual(expect.any(String))
})
