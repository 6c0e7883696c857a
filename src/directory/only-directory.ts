import type { Executor } from '../db/pool.ts'
import { Invalid } from '../errors.ts'

/** The directory that is meant where a caller names none: the only one there is. @throws Invalid naming `directory` */
export async function onlyDirectory(db: Executor): Promise<string> {
  const rows = await db.selectFrom('directory').select('id').where('deleted_at', 'is', null).limit(2).execute()
  if (rows.length === 1) return rows[0]!.id
  const message = rows.length === 0 ? 'there is no directory yet' : 'is required: there are several directories'
  throw new Invalid('The request does not say whose users it is about', [{ field: 'directory', message }])
}
