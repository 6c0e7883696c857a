import { beforeAll, describe, expect, it } from 'vitest'
import { groupSchema, type Json, userSchema } from '../../support/clients.ts'
import { expectError, expectList, filtered, membersOf, patchOf, serviceProvider } from './service-provider.ts'

/**
 * PingOne (docs.pingidentity.com `p1_scim_*`, "Create propagation store (SCIM)") and PingFederate's SCIM provisioner.
 * PingOne updates users by PUT; that it deactivates by PUT is inferred, and its exact bodies are unverified.
 */
describe('PingOne and PingFederate', () => {
  const running = serviceProvider()
  const ping = () => running.scim('ping')
  const email = 'Ada.Lovelace@ping.example'
  const created = {
    schemas: [userSchema],
    userName: 'ada',
    name: { givenName: 'Ada', familyName: 'Lovelace' },
    emails: [
      { value: email, type: 'work', primary: true },
      { value: 'ada@home.example', type: 'home', primary: true },
    ],
    active: true,
  }
  const emails = [
    { value: email, type: 'work', primary: true },
    { value: 'ada@home.example', type: 'home', primary: false },
  ]
  let id: string

  it.each(['userName eq "ada"', `emails eq "${email}"`])('1. looks a user up by %s: none', async (filter) => {
    expectList(await ping().send('GET', `/Users${filtered(filter)}`), 0)
  })

  it('1. probes a user who cannot be there: 404 (PingFederate)', async () => {
    expectError(await ping().send('GET', '/Users/0'), 404)
  })

  it('2. creates with two primary emails: one stays primary, both with their type', async () => {
    const answer = await ping().send('POST', '/Users', created)
    expect(answer).toMatchObject({ status: 201, body: { userName: 'ada', emails, active: true } })
    id = answer.body.id
  })

  it.each([
    'userName eq "ada"',
    `emails eq "${email}"`,
    `emails eq "${email.toUpperCase()}"`,
    'emails eq "ada@home.example"',
    `emails co "@ping.example" and active eq true`,
    'name.familyName sw "Love" and (emails pr or title pr)',
  ])('3. finds the user by %s, as an admin may write it', async (filter) => {
    expect(expectList(await ping().send('GET', `/Users${filtered(filter)}`), 1)).toMatchObject([{ id }])
  })

  it('4. updates by PUT: whole, twice primary again, and the same a second time', async () => {
    const put = { ...created, name: { ...created.name, givenName: 'Augusta' }, title: 'Countess' }
    const answer = await ping().send('PUT', `/Users/${id}`, put)
    expect(answer).toMatchObject({ status: 200, body: { id, name: put.name, title: 'Countess', emails } })
    expect((await ping().send('PUT', `/Users/${id}`, put)).body).toEqual(answer.body)
  })

  it('4. updates by PUT what SCHEMA_EXTENSION_URNS names, and gets it back', async () => {
    const custom = 'urn:scim:schemas:extension:acme:2.0:User'
    const put = { ...created, schemas: [userSchema, custom], [custom]: { badge: 7 } }
    const answer = await ping().send('PUT', `/Users/${id}`, put)
    expect(answer).toMatchObject({ status: 200, body: { schemas: [userSchema, custom], [custom]: { badge: 7 } } })
    expect(await ping().call('GET', `/Users/${id}`)).toEqual(answer.body)
  })

  it('5. disables by PUT (DISABLE_USERS, REMOVE_ACTION=disable), still to be found, and enables again', async () => {
    for (const active of [false, true]) {
      expect(await ping().send('PUT', `/Users/${id}`, { ...created, active })).toMatchObject({
        status: 200,
        body: { active },
      })
      expect(expectList(await ping().send('GET', `/Users${filtered('userName eq "ada"')}`), 1)).toMatchObject([
        { id, active },
      ])
      expect(await running.tenure.admin.get(`/users/${id}`)).toMatchObject({ active })
    }
  })

  describe('groups', () => {
    const displayName = 'R&D (EU) [core] "x" \\ ü'
    let group: string
    let other: string

    beforeAll(async () => {
      other = (await ping().createUser('bob')).id
    })

    it('6. looks a group up by a name with special characters, creates it, and finds it', async () => {
      const byName = () => ping().send('GET', `/Groups${filtered(`displayName eq ${JSON.stringify(displayName)}`)}`)
      expectList(await byName(), 0)
      group = (await ping().call('POST', '/Groups', { schemas: [groupSchema], displayName })).id
      expect(expectList(await byName(), 1)).toMatchObject([{ id: group, displayName }])
    })

    it('7. merges members by PATCH', async () => {
      const change = (...operations: unknown[]) => ping().send('PATCH', `/Groups/${group}`, patchOf(...operations))
      expect((await change({ op: 'add', path: 'members', value: [{ value: id }] })).status).toBe(204)
      expect((await change({ op: 'add', path: 'members', value: [{ value: other }] })).status).toBe(204)
      expect(await membersOf(ping(), group)).toEqual([id, other].toSorted())
      expect((await change({ op: 'remove', path: `members[value eq "${other}"]` })).status).toBe(204)
      expect(await membersOf(ping(), group)).toEqual([id])
    })

    it('7. overwrites members by PATCH and by PUT', async () => {
      await ping().patchGroup(group, { op: 'replace', path: 'members', value: [{ value: other }] })
      expect(await membersOf(ping(), group)).toEqual([other])
      await ping().call('PUT', `/Groups/${group}`, { schemas: [groupSchema], displayName, members: [{ value: id }] })
      expect(await membersOf(ping(), group)).toEqual([id])
    })

    it('8. reads all groups, page by page, without members (PingFederate matches by that)', async () => {
      for (let n = 0; n < 4; n++) await ping().createGroup(`Group ${n}`)
      const names: string[] = []
      for (let startIndex = 1; ; startIndex += 2) {
        const { body } = await ping().send('GET', `/Groups?startIndex=${startIndex}&count=2&excludedAttributes=members`)
        names.push(...body.Resources.map((each: Json) => each.displayName))
        expect(JSON.stringify(body)).not.toContain('"members"')
        if (names.length >= body.totalResults) break
      }
      expect(names.toSorted()).toEqual([displayName, 'Group 0', 'Group 1', 'Group 2', 'Group 3'].toSorted())
    })
  })

  it('9. removes (REMOVE_ACTION=delete): 204, then 404, and out of its groups', async () => {
    expect((await ping().send('DELETE', `/Users/${id}`)).status).toBe(204)
    expectError(await ping().send('GET', `/Users/${id}`), 404)
    const { Resources } = await ping().call('GET', '/Groups')
    expect(JSON.stringify(Resources)).not.toContain(id)
  })
})
