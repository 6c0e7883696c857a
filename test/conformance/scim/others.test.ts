import { describe, expect, it } from 'vitest'
import { groupSchema, type Json, userSchema } from '../../support/clients.ts'
import {
  expectError,
  expectList,
  filtered,
  mediaType,
  membersOf,
  newName,
  patchOf,
  sendExactly,
  serviceProvider,
  stranger,
  vendors,
} from './service-provider.ts'

/**
 * Clients without a dialect of their own, in a directory of any of the vendors: what they send is within the union of
 * the tolerances. OneLogin: developers.onelogin.com/scim, authentik#11249. JumpCloud: its support article, ssoready.
 * Rippling: its partner pages, better-auth#10420. WSO2 and authentik: product-is#5333, authentik#16678.
 */
const running = serviceProvider()

describe.each(vendors)('as %s', (provider) => {
  const scim = () => running.scim(provider)
  const patch = (path: string, ...operations: unknown[]) => scim().send('PATCH', path, patchOf(...operations))

  it('OneLogin: tests, creates, changes members by value arrays, deletes; no User-Agent', async () => {
    const headers = { accept: 'application/scim+json', 'content-type': 'application/scim+json' }
    const test = await sendExactly(scim(), 'GET', `/Users${filtered('userName eq "nobody@onelogin.example"')}`, headers)
    expectList(test, 0)
    const groups = await sendExactly(scim(), 'GET', '/Groups', headers)
    expectList(groups, groups.body.totalResults)
    const body = { schemas: [userSchema], userName: newName('one@onelogin.example'), active: true }
    const made = await sendExactly(scim(), 'POST', '/Users', headers, JSON.stringify(body))
    expect([made.status, made.headers.get('content-type')]).toEqual([201, mediaType])
    const other = await scim().createUser(newName('two@onelogin.example'))
    const { id } = await scim().createGroup(newName('OneLogin'))
    const both = [{ value: made.body.id }, { value: other.id }]
    expect((await patch(`/Groups/${id}`, { op: 'add', path: 'members', value: both })).status).toBe(204)
    expect((await patch(`/Groups/${id}`, { op: 'remove', path: 'members', value: [both[0]] })).status).toBe(204)
    expect(await membersOf(scim(), id)).toEqual([other.id])
    expect((await sendExactly(scim(), 'DELETE', `/Users/${made.body.id}`)).status).toBe(204)
  })

  it('JumpCloud: activates with a user and a group of its own, which it then takes away', async () => {
    const user = await scim().createUser(newName('test-user@jumpcloud.example'))
    const group = await scim().createGroup(newName('Test Group'))
    expect(
      (await patch(`/Groups/${group.id}`, { op: 'add', path: 'members', value: [{ value: user.id }] })).status,
    ).toBe(204)
    const displayName = newName('Renamed')
    expect((await patch(`/Groups/${group.id}`, { op: 'replace', value: { displayName } })).status).toBe(204)
    expect(await scim().call('GET', `/Groups/${group.id}`)).toMatchObject({
      displayName,
      members: [{ value: user.id }],
    })
    expect(await scim().setActive(user.id, false)).toMatchObject({ active: false })
    for (const path of [`/Groups/${group.id}`, `/Users/${user.id}`]) {
      expect((await scim().send('DELETE', path)).status).toBe(204)
      expectError(await scim().send('GET', path), 404)
    }
  })

  it('Rippling: reads what is supported, then looks up by externalId and pages', async () => {
    expect(await scim().call('GET', '/ServiceProviderConfig')).toMatchObject({ patch: { supported: true } })
    const { id, externalId } = await scim().createUser(newName('r@rippling.example'))
    expect(expectList(await scim().send('GET', `/Users${filtered(`externalId eq "${externalId}"`)}`), 1)).toMatchObject(
      [{ id }],
    )
    const { totalResults } = await scim().call('GET', '/Users?count=0')
    const seen = new Set<string>()
    for (let startIndex = 1; startIndex <= totalResults; startIndex += 2)
      for (const each of (await scim().call('GET', `/Users?startIndex=${startIndex}&count=2`)).Resources)
        seen.add(each.id)
    expect(seen.size).toBe(totalResults)
  })

  it('WSO2: adds members without a path, and puts only what has changed', async () => {
    const user = await scim().createUser(newName('w@wso2.example'), { title: 'Dr' })
    const { id, displayName } = await scim().createGroup(newName('WSO2'))
    expect((await patch(`/Groups/${id}`, { op: 'add', value: { members: [{ value: user.id }] } })).status).toBe(204)
    expect(await membersOf(scim(), id)).toEqual([user.id])
    await scim().call('PUT', `/Groups/${id}`, { schemas: [groupSchema], displayName })
    expect(await membersOf(scim(), id)).toEqual([user.id])
    const put: Json = await scim().call('PUT', `/Users/${user.id}`, { userName: user.userName, title: 'Prof' })
    expect(put).toMatchObject({ title: 'Prof', active: true, externalId: user.externalId })
  })

  it('authentik: a PUT is 404 for who is gone, and for nobody else', async () => {
    const user = await scim().createUser(newName('a@authentik.example'))
    const body = { schemas: [userSchema], userName: user.userName }
    await scim().setActive(user.id, false)
    expect((await scim().send('PUT', `/Users/${user.id}`, body)).status).toBe(200)
    expectError(await scim().send('PUT', `/Users/${stranger}`, body), 404)
    await scim().call('DELETE', `/Users/${user.id}`)
    expectError(await scim().send('PUT', `/Users/${user.id}`, body), 404)
  })
})
