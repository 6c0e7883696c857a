import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { findUser } from '../directory/find-user.ts'
import { Invalid } from '../errors.ts'

/** A user in a query: `?user=`, or `?directory=` and `&userName=`. */
export const userQuery = {
  user: z.uuid().optional().meta({ description: 'The id of a user' }),
  directory: z.string().optional().meta({ description: 'With `userName`, in place of `user`' }),
  userName: z.string().optional(),
}

interface UserQuery {
  readonly user?: string
  readonly directory?: string
  readonly userName?: string
}

/** The id of the user that a query names, if it names one. @throws Invalid, NotFound */
export async function queriedUser(db: Database, { user, directory, userName }: UserQuery): Promise<string | undefined> {
  if (directory === undefined && userName === undefined) return user
  if (user !== undefined) throw unclear('user', 'is given beside `directory` and `userName`')
  if (userName === undefined) throw unclear('userName', 'is required beside `directory`')
  if (directory === undefined) throw unclear('directory', 'is required beside `userName`')
  return findUser(db, directory, { userName })
}

function unclear(field: string, message: string): Invalid {
  return new Invalid('The query does not say which user is meant', [{ field, message }])
}
