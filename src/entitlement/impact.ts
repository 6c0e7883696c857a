import { isDeepStrictEqual } from 'node:util'
import { sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import type { Filter } from '../filter/ast.ts'
import { FilterError } from '../filter/errors.ts'
import { matches } from '../filter/evaluate.ts'
import { type Access, isSameAccess, noAccess } from '../lifecycle/access.ts'
import { type Rule, type Subject, type Wanted, wantedAccess } from '../lifecycle/rules.ts'
import { parseRule, type RuleRow } from './policy.ts'
import type { RuleChange } from './rules.ts'
import { asSubject, blockedBy, groupObject, type SubjectRow } from './subject.ts'

/** Users held in memory at a time, with their groups. */
const batchSize = 1_000

/**
 * What a rule, or a change of one, means for the users of its directory. Only those are counted who may have access at
 * all: active, not held, not deleted. It reads every one of them, so it is not for inside a transaction that others
 * wait for.
 */
export function createImpact({ db }: { db: Database }) {
  return {
    /**
     * How many users have other access after the change than before, all rules at the same servers considered.
     *
     * @returns null when that could not be counted within `withinMs`
     */
    async touchedBy(
      { directoryId, before, after, others }: RuleChange,
      { withinMs = Number.POSITIVE_INFINITY }: { withinMs?: number } = {},
    ): Promise<number | null> {
      if (isDeepStrictEqual(before, after)) return 0
      const was = readable(before ? [...others, before] : others)
      const becomes = readable(after ? [...others, after] : others)
      const changed = readable([before, after].filter((rule) => rule !== undefined))
      const differs = (subject: Subject) => {
        const [old, now] = [wantedAccess(was, subject), wantedAccess(becomes, subject)]
        return changed.some(({ serverId }) => !isSameAccess(accessAt(serverId, old), accessAt(serverId, now)))
      }
      // Whoever the rule is not about has what they had: most need not be compared.
      const isAbout = (subject: Subject) => changed.some(({ filter }) => matches(filter, subject))
      const until = performance.now() + withinMs
      const counted = await count(directoryId, (subject) => isAbout(subject) && differs(subject), until)
      return counted?.counted ?? null
    },

    /** How many of the users match, and how many there are. */
    async matching(directoryId: string, filter: Filter): Promise<{ matches: number; of: number }> {
      const all = await count(directoryId, (subject) => matches(filter, subject))
      return { matches: all!.counted, of: all!.of }
    },
  }

  async function count(
    directoryId: string,
    counts: (subject: Subject) => boolean,
    until = Number.POSITIVE_INFINITY,
  ): Promise<{ counted: number; of: number } | null> {
    let counted = 0
    let of = 0
    for await (const subject of subjectsOf(db, directoryId)) {
      if (performance.now() > until) return null
      of++
      if (counts(subject)) counted++
    }
    return { counted, of }
  }
}

export type Impact = ReturnType<typeof createImpact>

function accessAt(serverId: string, wanted: ReadonlyMap<string, Wanted>): Access {
  return wanted.get(serverId)?.access ?? noAccess
}

/** As the gate reads them: one that does not parse gives nobody anything. */
function readable(rows: readonly RuleRow[]): Rule[] {
  return rows.flatMap((row) => {
    try {
      return [parseRule(row)]
    } catch (error) {
      if (!(error instanceof FilterError)) throw error
      return []
    }
  })
}

/** Everyone who may have access, as rules see them, in the order of their ids. */
async function* subjectsOf(db: Database, directoryId: string): AsyncGenerator<Subject> {
  for (let after = '00000000-0000-0000-0000-000000000000'; ; ) {
    const batch = await readUsers(db, directoryId, after)
    const users = batch.filter((user) => user.blockedBy === null)
    const groups = await readGroups(
      db,
      users.map(({ userId }) => userId),
    )
    for (const user of users) yield asSubject({ ...user, groups: groups.get(user.userId) ?? [] })
    if (batch.length < batchSize) return
    after = batch.at(-1)!.userId
  }
}

type UserRow = Pick<SubjectRow, 'userId' | 'blockedBy' | 'document'>

async function readUsers(db: Database, directoryId: string, after: string): Promise<UserRow[]> {
  const { rows } = await sql<UserRow>`
    select u.id as "userId", ${blockedBy} as "blockedBy", u.document
    from scim_user u join user_state s on s.user_id = u.id join directory d on d.id = u.directory_id
    where u.directory_id = ${directoryId} and u.deleted_at is null and u.id > ${after}::uuid
    order by u.id limit ${batchSize}`.execute(db)
  return rows
}

/** The `groups` of `subjectColumns` for many users: one recursion for all takes half the time of one for each. */
async function readGroups(db: Database, userIds: readonly string[]): Promise<Map<string, SubjectRow['groups']>> {
  const { rows } = await sql<{ userId: string; groups: SubjectRow['groups'] }>`
    with recursive above as (
      select user_id, group_id, true as direct from group_user where user_id = any(${userIds}::uuid[])
      union
      select above.user_id, n.parent_id, false from above join group_nesting n on n.child_id = above.group_id
    )
    select a.user_id as "userId", jsonb_agg(${groupObject}) as groups
    from (select user_id, group_id, bool_or(direct) as direct from above group by user_id, group_id) a
      join scim_group g on g.id = a.group_id
    group by a.user_id`.execute(db)
  return new Map(rows.map(({ userId, groups }) => [userId, groups]))
}
