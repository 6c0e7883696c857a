import { describe, expect, it } from 'vitest'
import { type Json, userSchema } from '../../support/clients.ts'
import { enterprise, expectError, expectList, filtered, patchOf, query, serviceProvider } from './service-provider.ts'

/**
 * Google Workspace publishes no description of what it sends. The calls are those observed (snipe-it#12642,
 * getprobo/probo#711) and what its help says of suspending and deleting; how it updates is unverified, so every form is
 * tried.
 */
describe('Google Workspace (automated user provisioning)', () => {
  const running = serviceProvider()
  const google = () => running.scim('google')
  const userName = 'Ada.Lovelace@google.example'
  const created = {
    schemas: ['urn:scim:schemas:core:1.0', userSchema],
    userName,
    emails: [{ primary: true, type: 'work', value: userName }],
    displayName: 'Ada Lovelace',
    name: { givenName: 'Ada', familyName: 'Lovelace' },
    active: true,
  }
  const lookUp = (name: string) =>
    google().send('GET', `/Users${filtered(`userName eq "${name}"`, { startIndex: '1' })}`)
  let id: string

  it('1. probes with an unfiltered list', async () => {
    expect(expectList(await google().send('GET', '/Users'), 0)).toEqual([])
  })

  it('2. looks a user up with startIndex and no count: none', async () => {
    expect((await lookUp(userName)).body).toMatchObject({
      totalResults: 0,
      startIndex: 1,
      itemsPerPage: 0,
      Resources: [],
    })
  })

  it('3. creates with the URN of SCIM 1.0, which is neither refused nor echoed', async () => {
    const answer = await google().send('POST', '/Users', created)
    expect(answer.status).toBe(201)
    id = answer.body.id
    expect(answer.body).toMatchObject({ ...created, schemas: [userSchema] })
    expect(answer.headers.get('location')).toBe(`${google().base}/Users/${id}`)
    expect(expectList(await lookUp(userName.toLowerCase()), 1)).toMatchObject([{ id, userName }])
    expectError(await google().send('POST', '/Users', created), 409, 'uniqueness')
  })

  it.each<[string, string, Json, Json]>([
    ['PUT', 'PUT', { ...created, title: 'Countess' }, { title: 'Countess' }],
    [
      'PATCH without a path',
      'PATCH',
      patchOf({ op: 'replace', value: { title: 'Dr', name: { givenName: 'Augusta' } } }),
      { title: 'Dr', name: { givenName: 'Augusta', familyName: 'Lovelace' } },
    ],
    [
      'PATCH with paths',
      'PATCH',
      patchOf(
        { op: 'replace', path: 'name.givenName', value: 'Ada' },
        { op: 'add', path: `${enterprise}:department`, value: 'Ops' },
      ),
      { name: { givenName: 'Ada' }, [enterprise]: { department: 'Ops' } },
    ],
  ])('4. updates by %s', async (_form, verb, body, expected) => {
    const answer = await google().send(verb, `/Users/${id}`, body)
    expect(answer).toMatchObject({ status: 200, body: { userName, active: true, ...expected } })
    expect(await google().call('GET', `/Users/${id}`)).toEqual(answer.body)
  })

  it.each<[string, (active: boolean) => [string, Json]]>([
    ['PUT', (active) => ['PUT', { ...created, active }]],
    ['PATCH without a path', (active) => ['PATCH', patchOf({ op: 'replace', value: { active } })]],
    ['PATCH with a path', (active) => ['PATCH', patchOf({ op: 'replace', path: 'active', value: active })]],
  ])('5. suspends and resumes by %s; suspended, the user is still found', async (_form, requestOf) => {
    for (const active of [false, true]) {
      const [verb, body] = requestOf(active)
      expect(await google().send(verb, `/Users/${id}`, body)).toMatchObject({ status: 200, body: { active } })
      expect(expectList(await lookUp(userName), 1)).toMatchObject([{ id, active }])
      expect(await running.tenure.admin.get(`/users/${id}`)).toMatchObject({ active })
    }
  })

  it('6. creates somebody who is suspended already: inactive from the start', async () => {
    const answer = await google().send('POST', '/Users', {
      ...created,
      userName: 'suspended@google.example',
      emails: [],
      active: false,
    })
    expect(answer).toMatchObject({ status: 201, body: { active: false } })
  })

  it('6. deletes somebody suspended long since: 204, and nobody is found any more', async () => {
    const [suspended] = expectList(await lookUp('suspended@google.example'), 1)
    expect((await google().send('DELETE', `/Users/${suspended!.id}`)).status).toBe(204)
    expect(await running.tenure.admin.get(`/users/${suspended!.id}`)).toMatchObject({ active: false })
    expectError(await google().send('GET', `/Users/${suspended!.id}`), 404)
    expectList(await lookUp('suspended@google.example'), 0)
  })

  it('7. deletes without suspending first: 204, 404 from then on, and the name is free', async () => {
    const { epoch } = await running.tenure.admin.get(`/users/${id}`)
    expect(await google().send('DELETE', `/Users/${id}`)).toMatchObject({ status: 204, body: undefined })
    expectError(await google().send('DELETE', `/Users/${id}`), 404)
    expectList(await lookUp(userName), 0)
    const { items } = await running.tenure.admin.get(`/events${query({ user: id })}`)
    expect(items.map(({ kind }: Json) => kind)).toContain('left')
    expect((await running.tenure.admin.get(`/users/${id}`)).epoch).toBe(epoch + 1)
    expect((await google().send('POST', '/Users', created)).status).toBe(201)
  })
})
