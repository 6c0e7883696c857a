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
  serviceProvider,
} from './service-provider.ts'

/**
 * Microsoft's SCIM validator (scimvalidator.microsoft.com), its required and preview checks, and Account Discovery. The
 * provisioning cycle, with `aadOptscim062020` and without, is in test/e2e/okta-entra.test.ts.
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
