import { expect, it } from 'vitest'
import { createPool, createDatabase as openDatabase } from '../../../src/db/pool.ts'
import { purgeLeft } from '../../../src/housekeeping/leaving.ts'
import { type Json, userSchema } from '../../support/clients.ts'
import { CommandLine } from '../../support/command-line.ts'
import { adminKey } from '../../support/tenure.ts'
import { waitFor } from '../../support/wait-for.ts'
import { patchOf, serviceProvider } from './service-provider.ts'

const running = serviceProvider()
const custom = 'urn:ietf:params:scim:schemas:extension:acme:2.0:User'

it('unknown attributes are skipped, noted by name, shown to operators, and gone with the directory', async () => {
  const { tenure, database } = running
  const okta = running.scim('okta')
  const created = await okta.call('POST', '/Users', {
    schemas: [userSchema, custom],
    userName: 'ada@acme.example',
    active: false,
    shoeSize: 'secret-39',
    emails: [{ value: 'ada@acme.example', colour: 'secret-red' }],
    'shoes[colour eq "secret-red"].size': 'secret-39',
    'secret "quoted': 1,
    [custom]: { badge: 7 },
  })
  expect(created).toMatchObject({ active: false, emails: [{ value: 'ada@acme.example' }], [custom]: { badge: 7 } })
  expect(created.schemas).toEqual([userSchema, custom])

  const list = async (): Promise<Json[]> => (await tenure.admin.get('/directories/okta/unknown-attributes')).items
  await waitFor(async () => (await list()).length > 0, { what: 'the attributes to be noted' })
  expect(await list()).toEqual(
    ['emails.colour', 'secret', 'shoes.size', 'shoeSize'].toSorted(byFolded).map((path) => ({
      resourceType: 'User',
      path,
      occurrences: 1,
      firstSeenAt: expect.any(String),
      lastSeenAt: expect.any(String),
    })),
  )
  expect(tenure.log).toContainEqual(
    expect.objectContaining({ unknownAttributes: expect.arrayContaining(['shoes.size']) }),
  )
  for (const told of [await list(), tenure.log]) expect(JSON.stringify(told)).not.toMatch(/secret-/)
  expect((await tenure.admin.get('/directories/entra/unknown-attributes')).items).toEqual([])
  expect(await tenure.admin.send('GET', '/directories/nothing/unknown-attributes')).toMatchObject({ status: 404 })

  const { next, items } = await tenure.admin.get('/directories/okta/unknown-attributes?limit=1')
  const rest = await tenure.admin.get(`/directories/okta/unknown-attributes?cursor=${next}`)
  expect([...items, ...rest.items]).toEqual(await list())

  const operator = new CommandLine({ TENURE_URL: tenure.url, TENURE_ADMIN_KEY: adminKey })
  const table = await operator.ok('directory', 'unknown', 'okta')
  expect(table).toMatch(/User\s+shoeSize\s+1\s/)
  expect(await operator.ok('directory', 'unknown', 'okta', '-q')).toContain('shoeSize\n')
  expect((await operator.run(['directory', 'unknown', 'entra'])).stderr).toContain('Every attribute')

  await tenure.admin.delete('/directories/okta')
  const db = openDatabase(createPool(database.ownerUrl, { max: 2, name: 'tenure under test' }))
  try {
    await db.updateTable('user_state').set({ converged_version: 1_000 }).execute()
    await db.deleteFrom('delivery').execute()
    await purgeLeft(db, { tombstoneDays: undefined })
    expect(await db.selectFrom('unknown_attribute').selectAll().execute()).toEqual([])
  } finally {
    await db.destroy()
  }
})

it('an unknown attribute does not keep anybody in', async () => {
  for (const provider of ['okta', 'entra', 'google', 'ping'] as const) {
    const scim = running.scim(provider === 'okta' ? 'entra' : provider)
    const { id } = await scim.createUser(`leaver-of-${provider}`)
    const unknown = { badge: { level: 3 }, 'x.y.z': 1, 'emails[colour eq "red"].value': 'a', '': 1, 'not a name!': 1 }
    const answer = await scim.send(
      'PATCH',
      `/Users/${id}`,
      patchOf({ op: 'replace', value: { ...unknown, active: false } }),
    )
    expect(answer).toMatchObject({ status: 200, body: { active: false } })
    const put = await scim.send('PUT', `/Users/${id}`, { ...unknown, userName: `leaver-of-${provider}`, active: false })
    expect(put).toMatchObject({ status: 200, body: { active: false } })
  }
})

function byFolded(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a.toLowerCase()), Buffer.from(b.toLowerCase()))
}
