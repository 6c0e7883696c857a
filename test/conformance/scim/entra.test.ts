import { describe, expect, it } from 'vitest'
import { groupSchema, type Json, userSchema } from '../../support/clients.ts'
import {
  enterprise,
  expectError,
  expectList,
  filtered,
  membersOf,
  newName,
  patchOf,
  sendExactly,
  serviceProvider,
  stranger,
} from './service-provider.ts'

/**
 * Microsoft's SCIM validator (scimvalidator.microsoft.com), its required and preview checks, and Account Discovery. The
 * provisioning cycle, with `aadOptscim062020` and without, is in okta-entra.test.ts.
 */
describe('Microsoft Entra ID', () => {
  const running = serviceProvider()
  const entra = () => running.scim('entra')
  const patch = (path: string, ...operations: unknown[]) => entra().send('PATCH', path, patchOf(...operations))
  const fixture = () => ({
    schemas: [userSchema, enterprise],
    userName: newName('Validator@entra.example'),
    externalId: newName('external'),
    displayName: 'XTBKQPKCWMJW',
    active: true,
    name: {
      formatted: 'F',
      familyName: 'L',
      givenName: 'G',
      middleName: 'M',
      honorificPrefix: 'P',
      honorificSuffix: 'S',
    },
    emails: [{ type: 'work', value: 'w@entra.example', primary: true }],
    phoneNumbers: [
      { type: 'work', value: '1' },
      { type: 'mobile', value: '2' },
      { type: 'fax', value: '3' },
    ],
    addresses: [
      {
        type: 'work',
        formatted: 'F',
        streetAddress: 'S',
        locality: 'L',
        region: 'R',
        postalCode: 'P',
        country: 'Åland',
        primary: true,
      },
    ],
    timezone: 'Africa/Nouakchott',
    locale: 'is',
    roles: [{ primary: 'True', display: 'D', value: 'V', type: 'T' }],
    [enterprise]: {
      employeeNumber: 'E',
      department: 'D',
      costCenter: 'C',
      organization: 'O',
      division: 'V',
      manager: { value: 'no such user' },
    },
  })

  describe('validator, users', () => {
    it('creates, with booleans as text and a manager who is nobody; again: 409', async () => {
      const body = fixture()
      const answer = await entra().send('POST', '/Users', body)
      expect(await entra().call('GET', `/Users/${answer.body.id}`)).toEqual(answer.body)
      expect(answer).toMatchObject({ status: 201, body: { ...body, roles: [{ ...body.roles[0], primary: true }] } })
      expectError(await entra().send('POST', '/Users', body), 409, 'uniqueness')
    })

    it('filters: somebody, nobody, and in another case', async () => {
      const { userName } = await entra().call('POST', '/Users', fixture())
      for (const [name, hits] of [
        [userName, 1],
        [userName.toUpperCase(), 1],
        ['nobody', 0],
      ]) {
        expectList(await entra().send('GET', `/Users${filtered(`userName eq "${name}"`)}`), hits)
      }
    })

    it('replaces every attribute that its default mapping has, by value paths: 200 with the user', async () => {
      const { id } = await entra().call('POST', '/Users', fixture())
      const answer = await patch(
        `/Users/${id}`,
        { op: 'replace', path: 'emails[type eq "work"].value', value: 'new@entra.example' },
        { op: 'replace', path: 'emails[type eq "work"].primary', value: true },
        ...['work', 'mobile', 'fax'].map((type) => ({
          op: 'replace',
          path: `phoneNumbers[type eq "${type}"].value`,
          value: `new ${type}`,
        })),
        ...['formatted', 'streetAddress', 'locality', 'region', 'postalCode', 'country'].map((part) => ({
          op: 'replace',
          path: `addresses[type eq "work"].${part}`,
          value: `new ${part}`,
        })),
        ...['employeeNumber', 'department', 'costCenter', 'organization', 'division'].map((name) => ({
          op: 'replace',
          path: `${enterprise}:${name}`,
          value: `new ${name}`,
        })),
        {
          op: 'replace',
          value: { 'name.givenName': 'new', displayName: 'new', timezone: 'Europe/Oslo', active: true },
        },
      )
      expect(answer).toMatchObject({
        status: 200,
        body: {
          displayName: 'new',
          timezone: 'Europe/Oslo',
          name: { givenName: 'new', familyName: 'L' },
          emails: [{ type: 'work', value: 'new@entra.example', primary: true }],
          phoneNumbers: [
            { type: 'work', value: 'new work' },
            { type: 'mobile', value: 'new mobile' },
            { type: 'fax', value: 'new fax' },
          ],
          addresses: [
            {
              type: 'work',
              formatted: 'new formatted',
              streetAddress: 'new streetAddress',
              country: 'new country',
              primary: true,
            },
          ],
          [enterprise]: {
            employeeNumber: 'new employeeNumber',
            division: 'new division',
            manager: { value: 'no such user' },
          },
        },
      })
      expect(await entra().call('GET', `/Users/${id}`)).toEqual(answer.body)
    })

    it('renames without a path, and the filter follows', async () => {
      const { id } = await entra().call('POST', '/Users', fixture())
      const userName = newName('renamed')
      expect(await patch(`/Users/${id}`, { op: 'replace', value: { userName } })).toMatchObject({
        status: 200,
        body: { userName },
      })
      expect(expectList(await entra().send('GET', `/Users${filtered(`userName eq "${userName}"`)}`), 1)).toMatchObject([
        { id },
      ])
    })

    it('adds, replaces and removes a manager', async () => {
      const { id } = await entra().call('POST', '/Users', { ...fixture(), [enterprise]: {} })
      const managerOf = ({ body }: { body: Json }) => body[enterprise]?.manager
      const path = `${enterprise}:manager`
      expect(managerOf(await patch(`/Users/${id}`, { op: 'add', path, value: { value: 'a' } }))).toEqual({ value: 'a' })
      expect(managerOf(await patch(`/Users/${id}`, { op: 'replace', path, value: { value: 'b' } }))).toEqual({
        value: 'b',
      })
      expect(managerOf(await patch(`/Users/${id}`, { op: 'remove', path }))).toBeUndefined()
    })

    it('disables, and still gets and finds the user', async () => {
      const { id, userName } = await entra().call('POST', '/Users', fixture())
      expect(await patch(`/Users/${id}`, { op: 'Replace', path: 'active', value: false })).toMatchObject({
        status: 200,
        body: { active: false },
      })
      expect(await entra().call('GET', `/Users/${id}`)).toMatchObject({ active: false })
      expect(expectList(await entra().send('GET', `/Users${filtered(`userName eq "${userName}"`)}`), 1)).toMatchObject([
        { active: false },
      ])
    })

    it('preview: several operations on one attribute, a required one dropped, delete twice', async () => {
      const { id } = await entra().call('POST', '/Users', fixture())
      const answer = await patch(
        `/Users/${id}`,
        { op: 'remove', path: 'displayName' },
        { op: 'add', path: 'displayName', value: 'one' },
        { op: 'replace', path: 'displayName', value: 'two' },
      )
      expect(answer).toMatchObject({ status: 200, body: { displayName: 'two' } })
      expectError(await patch(`/Users/${id}`, { op: 'remove', path: 'userName' }), 400, 'mutability')
      expect((await entra().send('DELETE', `/Users/${id}`)).status).toBe(204)
      expectError(await entra().send('DELETE', `/Users/${id}`), 404)
    })
  })

  describe('validator, groups', () => {
    it('creates, refuses a second of the name, finds by name and externalId, with and without members', async () => {
      const body = { schemas: [groupSchema], displayName: newName('Validator Group'), externalId: newName('group') }
      const answer = await entra().send('POST', '/Groups', body)
      expect(answer).toMatchObject({ status: 201, body })
      expectError(await entra().send('POST', '/Groups', { ...body, externalId: 'other' }), 409, 'uniqueness')
      for (const filter of [
        `displayName eq "${body.displayName.toLowerCase()}"`,
        `externalId eq "${body.externalId}"`,
      ]) {
        const [found] = expectList(
          await entra().send('GET', `/Groups${filtered(filter, { excludedAttributes: 'members' })}`),
          1,
        )
        expect(found).toMatchObject({ id: answer.body.id })
        expect(Object.keys(found!)).not.toContain('members')
      }
      expectList(await entra().send('GET', `/Groups${filtered('displayName eq "of nobody"')}`), 0)
    })

    it('replaces the name and the externalId without a path, adds and removes a member', async () => {
      const user = await entra().call('POST', '/Users', fixture())
      const { id } = await entra().createGroup(newName('Validator Group'))
      const value = { displayName: newName('New name'), externalId: newName('new') }
      expect((await patch(`/Groups/${id}`, { op: 'replace', value })).status).toBe(204)
      expect(await entra().call('GET', `/Groups/${id}`)).toMatchObject(value)
      expect(
        (await patch(`/Groups/${id}`, { op: 'Add', path: 'members', value: [{ $ref: null, value: user.id }] })).status,
      ).toBe(204)
      expect(await membersOf(entra(), id)).toEqual([user.id])
      expect(
        (await patch(`/Groups/${id}`, { op: 'Remove', path: 'members', value: [{ $ref: null, value: user.id }] }))
          .status,
      ).toBe(204)
      expect(await membersOf(entra(), id)).toEqual([])
    })
  })

  describe('validator, preview of groups', () => {
    it('reads a group by id without its members, changes it in one request, deletes it twice', async () => {
      const user = await entra().call('POST', '/Users', fixture())
      const { id } = await entra().createGroup(newName('Validator Group'), [user.id])
      const without = await entra().call('GET', `/Groups/${id}?excludedAttributes=members`)
      expect(Object.keys(without)).not.toContain('members')
      const [displayName, externalId] = [newName('New name'), newName('new')]
      const answer = await patch(
        `/Groups/${id}`,
        { op: 'replace', path: 'displayName', value: 'first' },
        { op: 'replace', path: 'displayName', value: displayName },
        { op: 'add', path: 'externalId', value: externalId },
        { op: 'Remove', path: 'members', value: [{ value: user.id }] },
      )
      expect(answer.status).toBe(204)
      expect(await entra().call('GET', `/Groups/${id}`)).toMatchObject({ displayName, externalId })
      expect(await membersOf(entra(), id)).toEqual([])
      expect((await entra().send('DELETE', `/Groups/${id}`)).status).toBe(204)
      expectError(await entra().send('DELETE', `/Groups/${id}`), 404)
      for (const path of [`/Groups/${stranger}`, `/Users/${stranger}`])
        expectError(await entra().send('DELETE', path), 404)
    })
  })

  describe('what it sends beside the validator', () => {
    it.each(['AzureAdScimPatch2017', 'aadOptscim062020'])('the flag %s on every call changes none', async (flag) => {
      const { id } = await entra().call('POST', `/Users?${flag}`, fixture())
      const at = `/Users/${id}?${flag}`
      expect(await patch(at, { op: 'Replace', path: 'active', value: 'False' })).toMatchObject({
        body: { active: false },
      })
      expect(await patch(at, { op: 'replace', value: { active: true } })).toMatchObject({ body: { active: true } })
      expect(await entra().call('GET', at)).toMatchObject({ id, active: true })
      const { body } = await entra().send('GET', `/Users?${flag}&filter=${encodeURIComponent(`id eq "${id}"`)}`)
      expect(body).toMatchObject({ totalResults: 1, Resources: [{ id }] })
      const { id: group } = await entra().call('POST', `/Groups?${flag}`, {
        schemas: [groupSchema],
        displayName: newName('Flagged'),
      })
      const add = { op: 'Add', path: 'members', value: [{ $ref: null, value: id }] }
      expect((await patch(`/Groups/${group}?${flag}`, add)).status).toBe(204)
      expect((await entra().send('DELETE', `/Groups/${group}?${flag}`)).status).toBe(204)
      expect((await entra().send('DELETE', at)).status).toBe(204)
    })

    it('keys and paths with capitals, as in the collections that Microsoft publishes', async () => {
      const userName = newName('Capital')
      const made = await entra().call('POST', '/Users', {
        Schemas: [userSchema],
        UserName: userName,
        Active: 'True',
        Emails: [{ Primary: 'True', Type: 'work', Value: 'capital@entra.example' }],
        Name: { GivenName: 'C' },
      })
      expect(made).toMatchObject({
        userName,
        active: true,
        emails: [{ primary: true, type: 'work', value: 'capital@entra.example' }],
        name: { givenName: 'C' },
      })
      const { body } = await patch(
        `/Users/${made.id}`,
        { op: 'Replace', path: 'Emails[Type eq "work"].Value', value: 'new@entra.example' },
        { op: 'Add', value: { 'Name.FamilyName': 'D', DisplayName: ['X'], Title: 'T' } },
      )
      expect(body).toMatchObject({
        emails: [{ primary: true, type: 'work', value: 'new@entra.example' }],
        name: { givenName: 'C', familyName: 'D' },
        displayName: 'X',
        title: 'T',
      })
    })

    it('extension data without the URN in schemas, which is then listed', async () => {
      const body = { ...fixture(), schemas: [userSchema] }
      const made = await entra().call('POST', '/Users', body)
      expect(made).toMatchObject({ schemas: [userSchema, enterprise], [enterprise]: body[enterprise] })
      const custom = 'urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User'
      const answer = await patch(`/Users/${made.id}`, { op: 'Add', path: `${custom}:CustomAttribute`, value: 'tag' })
      expect(answer.body).toMatchObject({
        schemas: [userSchema, enterprise, custom],
        [custom]: { CustomAttribute: 'tag' },
      })
    })

    it('roles that are asserted: the set is replaced', async () => {
      const { id } = await entra().call('POST', '/Users', fixture())
      const packed = (value: string) => ({
        value: JSON.stringify({ id: `r-${value}`, value, displayName: `The ${value}` }),
      })
      for (const names of [['Admin', 'Editor'], ['Reader']]) {
        const { body } = await patch(`/Users/${id}`, { op: 'Replace', path: 'roles', value: names.map(packed) })
        expect(body.roles).toEqual(names.map((value) => ({ value, display: `The ${value}` })))
      }
    })

    it('reference checks of a manager and of a member: the one asked for, or none', async () => {
      const user = await entra().call('POST', '/Users', fixture())
      const group = await entra().createGroup(newName('Checked'), [user.id])
      await patch(`/Users/${user.id}`, { op: 'Add', path: 'manager', value: [{ $ref: '../Users/m', value: 'm' }] })
      for (const [path, id, name, held] of [
        ['/Users', user.id, 'manager', 'm'],
        ['/Groups', group.id, 'members', user.id],
      ]) {
        const check = (value: string) =>
          entra().send('GET', `${path}${filtered(`id eq "${id}" and ${name} eq "${value}"`, { attributes: 'id' })}`)
        expect(expectList(await check(held), 1)).toEqual([{ schemas: expect.any(Array), id }])
        expectList(await check(stranger), 0)
      }
    })

    it('a match on a random guid, without User-Agent and Content-Type: an empty list', async () => {
      const guid = '0e5e2a33-2d31-44b5-8ff1-bd2bdb7a6a7d'
      for (const [path, filter] of [
        ['/Users', `userName eq "${guid}"`],
        ['/Users', `externalId eq "${guid}"`],
        ['/Users', `emails[type eq "work"].value eq "${guid}"`],
        ['/Groups', `displayName eq "${guid}"`],
        ['/Groups', `externalId eq "${guid}"`],
      ]) {
        const bare = await sendExactly(entra(), 'GET', `${path}${filtered(filter!, { excludedAttributes: 'members' })}`)
        expect(expectList(bare, 0)).toEqual([])
      }
    })
  })

  it('Account Discovery pages through everybody: each once, exact numbers', async () => {
    const { body: first } = await entra().send('GET', '/Users?startIndex=1&count=3')
    const seen: string[] = []
    for (let startIndex = 1; startIndex <= first.totalResults; startIndex += 3) {
      const { body } = await entra().send('GET', `/Users?startIndex=${startIndex}&count=3`)
      expect(body).toMatchObject({
        startIndex,
        totalResults: first.totalResults,
        itemsPerPage: Math.min(3, first.totalResults - startIndex + 1),
      })
      seen.push(...body.Resources.map(({ id }: Json) => id))
    }
    expect(new Set(seen).size).toBe(first.totalResults)
    expect(seen).toHaveLength(first.totalResults)
  })
})
