import { describe, expect, it } from 'vitest'
import { groupSchema, type Json, userSchema } from '../../support/clients.ts'
import { expectError, expectList, filtered, membersOf, newName, patchOf, serviceProvider } from './service-provider.ts'

/**
 * Okta's own test suites, which run before an app is listed: Okta-SCIM-20-SPEC-Test, Okta-SCIM-20-CRUD-Test, and the
 * cases of the OIN plan. The sequences of its two kinds of app are in test/e2e/okta-entra.test.ts.
 */
describe('Okta', () => {
  const running = serviceProvider()
  const okta = () => running.scim('okta')

  describe('SPEC test', () => {
    const userName = newName('Runscope300@okta.example')
    const created = {
      schemas: [userSchema],
      userName,
      name: { givenName: 'Runscope', familyName: 'Test' },
      emails: [{ primary: true, value: userName, type: 'work' }],
      displayName: 'Runscope Test',
      active: true,
    }
    let id: string

    it('POST /Users: 201, active, everything exactly as sent; again: 409', async () => {
      const answer = await okta().send('POST', '/Users', created)
      expect(answer).toMatchObject({ status: 201, body: created })
      id = answer.body.id
      expectError(await okta().send('POST', '/Users', created), 409, 'uniqueness')
    })

    it('GET /Users?count=1&startIndex=1: one whole user and numbers', async () => {
      const answer = await okta().send('GET', '/Users?count=1&startIndex=1')
      const [user] = expectList(answer, answer.body.totalResults)
      expect(answer.body).toMatchObject({ startIndex: 1, itemsPerPage: 1, totalResults: expect.any(Number) })
      for (const value of [
        user!.id,
        user!.userName,
        user!.active,
        user!.name.givenName,
        user!.name.familyName,
        user!.emails[0].value,
      ]) {
        expect(value).toBeTruthy()
      }
    })

    it('GET of that user, of nobody, and filters of both', async () => {
      expect(await okta().call('GET', `/Users/${id}`)).toMatchObject({ id, userName })
      expectError(await okta().send('GET', '/Users/010101001010101011001010101011'), 404)
      expectList(await okta().send('GET', `/Users${filtered('userName eq "of nobody"')}`), 0)
      expect(
        expectList(await okta().send('GET', `/Users${filtered(`userName eq "${userName.toUpperCase()}"`)}`), 1),
      ).toMatchObject([{ id }])
    })

    it('GET /Groups: 200', async () => {
      expectList(await okta().send('GET', '/Groups'), 0)
    })

    it('a bad token: 401 with a detail', async () => {
      const answer = await fetch(`${okta().base}/Users`, { headers: { authorization: 'Bearer 12345919ssdfs' } })
      expect(answer.status).toBe(401)
      expect(await answer.json()).toMatchObject({
        status: '401',
        detail: expect.any(String),
        schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
      })
    })

    it('PATCH active, first name by PUT, and back', async () => {
      expect(await okta().setActive(id, false)).toMatchObject({ active: false })
      expect(await okta().setActive(id, true)).toMatchObject({ active: true })
      const read = await okta().call('GET', `/Users/${id}`)
      const put = await okta().call('PUT', `/Users/${id}`, { ...read, name: { ...read.name, givenName: 'Another' } })
      expect(put.name).toEqual({ givenName: 'Another', familyName: 'Test' })
    })
  })

  it('C9303: an import sees everybody once, inactive ones too, and leaves them out by itself', async () => {
    const { id } = await okta().createUser(newName('gone'))
    await okta().setActive(id, false)
    const { Resources } = await okta().call('GET', '/Users?startIndex=1&count=100')
    expect(Resources.filter((user: Json) => user.id === id)).toMatchObject([{ active: false }])
  })

  it('C9315: linking to a group that is there keeps its members and renames it', async () => {
    const [theirs, mine] = [await okta().createUser(newName('a')), await okta().createUser(newName('b'))]
    const group = await okta().createGroup(newName('Theirs'), [theirs.id])
    const [found] = expectList(
      await okta().send('GET', `/Groups${filtered(`displayName eq "${group.displayName}"`)}`),
      1,
    )
    const displayName = newName('Linked')
    const answer = await okta().send(
      'PATCH',
      `/Groups/${found!.id}`,
      patchOf(
        { op: 'replace', value: { id: found!.id, displayName } },
        { op: 'add', path: 'members', value: [{ value: mine.id, display: 'b' }] },
      ),
    )
    expect(answer.status).toBe(204)
    expect(await membersOf(okta(), group.id)).toEqual([theirs.id, mine.id].toSorted())
    expect(await okta().call('GET', `/Groups/${group.id}`)).toMatchObject({ schemas: [groupSchema], displayName })
  })

  it('C9335: linking to a user who is there updates that one', async () => {
    const userName = newName('here@okta.example')
    const { id } = await okta().createUser(userName, { externalId: undefined })
    const [found] = expectList(
      await okta().send('GET', `/Users${filtered(`userName eq "${userName}"`, { startIndex: '1', count: '100' })}`),
      1,
    )
    const put = await okta().call('PUT', `/Users/${found!.id}`, { ...found, externalId: '00ulinked' })
    expect(put).toMatchObject({ id, userName, externalId: '00ulinked' })
  })

  it('Import User Schema reads /ResourceTypes and /Schemas', async () => {
    const { Resources: types } = await okta().call('GET', '/ResourceTypes')
    expect(types.map(({ endpoint }: Json) => endpoint)).toEqual(['/Users', '/Groups'])
    for (const { schema, schemaExtensions } of types as Json[]) {
      for (const urn of [schema, ...schemaExtensions.map((extension: Json) => extension.schema)]) {
        expect((await okta().call('GET', `/Schemas/${urn}`)).id).toBe(urn)
      }
    }
  })
})
