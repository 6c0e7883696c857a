import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Answer, type Json, type ScimClient, userSchema } from '../../support/clients.ts'
import { connect } from '../../support/postgres.ts'
import { bulkOf, enterprise, expectError, filtered, newName, serviceProvider } from './service-provider.ts'

const running = serviceProvider()
let okta: ScimClient
let left: Json

const admin = () => running.tenure.admin
const post = (fields: Json, scim = okta): Promise<Answer> =>
  scim.send('POST', '/Users', { schemas: [userSchema], userName: left.userName, ...fields })
const eventsOf = async (id: string): Promise<string[]> =>
  (await admin().get(`/events?user=${id}`)).items.map(({ kind }: Json) => kind)

/** A hold by an event, of somebody who is inactive. */
async function hold(id: string): Promise<void> {
  const owner = await connect({ url: running.database.ownerUrl })
  await owner.query(`update user_state set hold_source = 'okta', hold_at = clock_timestamp() where user_id = $1`, [id])
  await owner.end()
}

beforeAll(async () => {
  okta = running.scim('okta')
  const answer = await admin().send('PATCH', '/directories/okta', { reactivateOnCreate: true })
  expect(answer).toMatchObject({ status: 200, body: { reactivateOnCreate: true } })
})

beforeEach(async () => {
  left = await okta.createUser(newName('back@acme.example'), { title: 'Dr', [enterprise]: { department: 'Ops' } })
  await okta.setActive(left.id, false)
})

describe('a directory that reactivates on create', () => {
  it('is one that an admin made so', async () => {
    const made = await admin().post('/directories', { id: 'made', provider: 'okta', reactivateOnCreate: true })
    expect(made.reactivateOnCreate).toBe(true)
    expect((await admin().send('PATCH', '/directories/made', { name: 'Made' })).body.reactivateOnCreate).toBe(true)
    const off = await admin().send('PATCH', '/directories/made', { reactivateOnCreate: false })
    expect(off.body.reactivateOnCreate).toBe(false)
    expect((await admin().get('/directories/made')).reactivateOnCreate).toBe(false)
    expect((await admin().send('PATCH', '/directories/made', { reactivateOnCreate: 'yes' })).status).toBe(422)
    expect(await admin().get('/directories/entra')).toMatchObject({ reactivateOnCreate: false })
  })

  it('answers a POST for somebody inactive with the user there is, as a PUT would leave it', async () => {
    const group = await okta.createGroup(newName('Group'), [left.id])
    const { status, headers, body } = await post({
      userName: left.userName.toUpperCase(),
      nickName: 'New',
      active: true,
    })
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`${okta.base}/Users/${left.id}`)
    expect(body).toMatchObject({
      id: left.id,
      userName: left.userName.toUpperCase(),
      nickName: 'New',
      active: true,
      externalId: left.externalId,
      groups: [{ value: group.id }],
    })
    for (const gone of ['title', enterprise]) expect(Object.keys(body)).not.toContain(gone)
    expect(body.meta.created).toBe(left.meta.created)
    expect(body.meta.version).not.toBe(left.meta.version)
    expect(await okta.call('GET', `/Users/${left.id}`)).toEqual(body)
    // `changed`: into the group.
    expect(await eventsOf(left.id)).toEqual(['resumed', 'changed', 'left', 'joined'])
  })

  it('makes active whoever the POST does not say anything about, and takes a new externalId', async () => {
    expect((await post({ externalId: 'renamed' })).body).toMatchObject({
      id: left.id,
      active: true,
      externalId: 'renamed',
    })
  })

  it('leaves inactive whom the POST itself calls so', async () => {
    expect(await post({ active: false })).toMatchObject({ status: 201, body: { id: left.id, active: false } })
    expect(await eventsOf(left.id)).toEqual(['changed', 'left', 'joined'])
  })

  it('ends a hold when the POST itself says that the user is active, and not by leaving it out', async () => {
    await hold(left.id)
    expect((await post({})).body.active).toBe(true)
    expect(await admin().get(`/users/${left.id}`)).toMatchObject({ hold: { source: 'okta' } })
    await okta.setActive(left.id, false)
    expect((await post({ active: true })).status).toBe(201)
    expect(await admin().get(`/users/${left.id}`)).toMatchObject({ active: true, hold: null })
  })

  it('refuses one for somebody active, changing nothing', async () => {
    const user = await okta.setActive(left.id, true)
    expectError(await post({ title: 'taken over' }), 409, 'uniqueness')
    expect(await okta.call('GET', `/Users/${left.id}`)).toEqual(user)
  })

  it('makes somebody new for the name of a deleted user', async () => {
    await okta.call('DELETE', `/Users/${left.id}`)
    const { status, body } = await post({})
    expect([status, body.id === left.id]).toEqual([201, false])
  })

  it('refuses what a PUT would, and leaves the user as it is', async () => {
    expectError(await post({ active: 'perhaps' }), 400, 'invalidValue')
    expect(await okta.call('GET', `/Users/${left.id}`)).toMatchObject({ active: false, title: 'Dr' })
  })

  it('lets one of several at once win', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => post({ nickName: `n${n}` })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409, 409, 409])
    const won = answers.find(({ status }) => status === 201)!.body
    expect(await okta.call('GET', `/Users/${left.id}`)).toEqual(won)
    expect(await eventsOf(left.id)).toEqual(['resumed', 'left', 'joined'])
  })

  it('never fails beside a deletion: the user is taken back before it, or made anew after it', async () => {
    for (let round = 0; round < 15; round++) {
      const user = await okta.createUser(newName('brief'), { active: false })
      const body = { schemas: [userSchema], userName: user.userName }
      const [made, gone] = await Promise.all([
        okta.send('POST', '/Users', body),
        okta.send('DELETE', `/Users/${user.id}`),
      ])
      expect([made.status, gone.status]).toEqual([201, 204])
      const found = await okta.call('GET', `/Users${filtered(`userName eq "${user.userName}"`)}`)
      expect(found.Resources.map(({ id }: Json) => id)).toEqual(made.body.id === user.id ? [] : [made.body.id])
    }
  })

  it('does so in bulk too', async () => {
    const data = { schemas: [userSchema], userName: left.userName }
    const { Operations } = await okta.call(
      'POST',
      '/Bulk',
      bulkOf({ method: 'POST', bulkId: 'b', path: '/Users', data }),
    )
    expect(Operations).toMatchObject([{ status: '201', location: `${okta.base}/Users/${left.id}` }])
  })
})

it('a directory that does not refuses, whoever sends it', async () => {
  const entra = running.scim('entra')
  const user = await entra.createUser(left.userName, { active: false })
  expectError(await post({}, entra), 409, 'uniqueness')
  expect(await entra.call('GET', `/Users/${user.id}`)).toEqual(user)
})
