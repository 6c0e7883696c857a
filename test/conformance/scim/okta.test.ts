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
} from './service-provider.ts'

/**
 * Okta's own test suites, which run before an app is listed: Okta-SCIM-20-SPEC-Test, Okta-SCIM-20-CRUD-Test, and the
 * cases of the OIN plan. The sequences of its two kinds of app are in okta-entra.test.ts.
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
  })

  describe('CRUD test', () => {
    const userName = newName('Crud@okta.example')
    let id: string
    const found = async (name = userName) => {
      const parameters = { startIndex: '1', count: '100' }
      return expectList(await okta().send('GET', `/Users${filtered(`userName eq "${name}"`, parameters)}`), 1)[0]!
    }

    it('assigns: nobody is found, one is created and then found', async () => {
      expectList(await okta().send('GET', `/Users${filtered(`userName eq "${userName}"`)}`), 0)
      id = (await okta().createUser(userName)).id
      expect(await found()).toMatchObject({ id, active: true })
    })

    it('changes the first name, by PUT of the whole or by PATCH', async () => {
      const read = await okta().call('GET', `/Users/${id}`)
      await okta().call('PUT', `/Users/${id}`, { ...read, name: { ...read.name, givenName: 'Another' } })
      expect((await found()).name).toEqual({ givenName: 'Another', familyName: 'Family' })
      const value = { name: { givenName: 'Third' }, displayName: 'Third Family', title: 'Dr' }
      await okta().patchUser(id, { op: 'replace', value })
      expect(await found()).toMatchObject({
        ...value,
        name: { givenName: 'Third', familyName: 'Family' },
        active: true,
      })
    })

    it('deactivates, reactivates and assigns again, unassigns', async () => {
      for (const active of [false, true]) {
        expect(await okta().setActive(id, active)).toMatchObject({ active })
        expect(await found(userName.toUpperCase())).toMatchObject({ id, active })
      }
      const read = await okta().call('GET', `/Users/${id}`)
      expect(await okta().call('PUT', `/Users/${id}`, { ...read, active: true })).toEqual(read)
      expect(await okta().call('PUT', `/Users/${id}`, { ...read, active: false })).toMatchObject({ active: false })
      expect(await running.tenure.admin.get(`/users/${id}`)).toMatchObject({ active: false })
    })
  })

  describe('its client', () => {
    const headers = {
      'user-agent': 'Okta SCIM Client 1.0.0',
      accept: 'application/scim+json',
      'accept-charset': 'utf-8',
      'accept-encoding': 'gzip,deflate',
      'content-type': 'application/scim+json; charset=utf-8',
    }

    it('is understood with the headers that it sends, and the test suites with theirs', async () => {
      const user = () => JSON.stringify({ schemas: [userSchema], userName: newName('Ünï@okta.example') })
      for (const sent of [headers, { 'content-type': 'application/json' }]) {
        const made = await sendExactly(okta(), 'POST', '/Users', sent, user())
        expect(made).toMatchObject({ status: 201, body: { userName: expect.stringMatching(/^Ünï/) } })
        expect(made.headers.get('content-type')).toBe(mediaType)
        expect(await sendExactly(okta(), 'GET', `/Users/${made.body.id}`, sent)).toMatchObject({ body: made.body })
      }
    })

    it('tests a connection with a page of users and one of groups', async () => {
      for (const path of ['/Users?startIndex=1&count=2', '/Groups?startIndex=1&count=100']) {
        const answer = await sendExactly(okta(), 'GET', path, headers)
        const { totalResults, startIndex } = answer.body
        expect(expectList(answer, totalResults).length).toBeLessThanOrEqual(100)
        expect(startIndex).toBe(1)
      }
      expectError(await sendExactly(okta(), 'GET', '/Users', { ...headers, authorization: 'Bearer wrong' }), 401)
    })
  })

  it('looks up by whatever field the admin chose as the unique one', async () => {
    const email = newName('unique@okta.example')
    const { id, externalId } = await okta().createUser(newName('by-email'), {
      emails: [{ primary: true, value: email, type: 'work' }],
    })
    for (const filter of [
      `emails.value eq "${email}"`,
      `emails eq "${email}"`,
      `emails[type eq "work"].value eq "${email}"`,
      `externalId eq "${externalId}"`,
    ]) {
      const answer = await okta().send('GET', `/Users${filtered(filter, { startIndex: '1', count: '100' })}`)
      expect(expectList(answer, 1)).toMatchObject([{ id }])
    }
  })

  it('gets back whatever it put, also what only its app knows', async () => {
    const custom = 'urn:ietf:params:scim:schemas:extension:okta-app_1:2.0:User'
    const made = await okta().createUser(newName('custom'), {
      schemas: [userSchema, custom],
      [custom]: { badge: '7', floors: ['1', '2'] },
    })
    const read = await okta().call('GET', `/Users/${made.id}`)
    expect(read[custom]).toEqual({ badge: '7', floors: ['1', '2'] })
    expect(
      await okta().call('PUT', `/Users/${made.id}`, { ...read, middleName: '', password: 'random-of-okta' }),
    ).toEqual(read)
  })

  it.each(['PATCH', 'PUT'])(
    'C9316, C9317: pushes a group now by %s, whole and empty; C9337: empty values clear',
    async (verb) => {
      const [a, b] = [await okta().createUser(newName('a')), await okta().createUser(newName('b'))]
      const { id, displayName } = await okta().createGroup(newName('Pushed'), [a.id])
      for (const ids of [[b.id], [], [a.id, b.id]]) {
        const members = ids.map((value) => ({ value, display: null }))
        const body =
          verb === 'PUT'
            ? { schemas: [groupSchema], displayName, members }
            : patchOf({ op: 'replace', path: 'members', value: members })
        expect((await okta().send(verb, `/Groups/${id}`, body)).status).toBeLessThan(300)
        expect(await membersOf(okta(), id)).toEqual(ids.toSorted())
      }
      const cleared = await okta().call('PUT', `/Users/${a.id}`, { ...a, displayName: '', nickName: '' })
      expect(Object.keys(cleared)).not.toContain('displayName')
    },
  )

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
