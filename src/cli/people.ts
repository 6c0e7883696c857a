import { type Api, type Listed, segment } from './api.ts'
import { CliError } from './cli-error.ts'
import { plain } from './plain.ts'

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * The id of the person an operator names by id or userName.
 *
 * @param directory needed for a userName where there are several directories; the API says so
 */
export async function findUser(api: Api, name: string, directory: string | undefined): Promise<string> {
  if (uuid.test(name)) return name.toLowerCase()
  const { items } = await api.get<Listed<{ id: string }>>('/users', {
    directory,
    filter: `userName eq ${JSON.stringify(name)}`,
    limit: 1,
  })
  if (items[0]) return items[0].id
  throw new CliError(`no user "${plain(name)}"; whoever is deleted is found by id only`)
}

/** What a table calls somebody. */
export type NameOf = (id: string | null | undefined) => string

const atOnce = 8
const mostNames = 100

/** userNames for a table that would show ids; a name that cannot be had in time is no reason to show no table. */
export async function namesOf(api: Api, ids: ReadonlyArray<string | null | undefined>): Promise<NameOf> {
  const names = new Map<string, string>()
  const wanted = [...new Set(ids)].filter((id) => typeof id === 'string').slice(0, mostNames)
  const queue = wanted.values()
  const deadline = Date.now() + 2_000
  const worker = async () => {
    for (const id of queue) {
      if (Date.now() > deadline) return
      const user = await api.get<{ userName: string }>(`/users/${segment(id)}`).catch(() => undefined)
      if (user) names.set(id, user.userName)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return (id) => (id ? (names.get(id) ?? id) : '-')
}
