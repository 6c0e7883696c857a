import { type RawBuilder, sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import type { Filter } from '../filter/ast.ts'
import { matches } from '../filter/evaluate.ts'
import { type Condition, explain } from '../filter/explain.ts'
import { userResourceType } from '../schemas/user.ts'
import { type GroupStep, groupChains, type Nesting } from './group-chains.ts'
import { asSubject, nestingColumn, type SubjectRow, subjectColumns } from './subject.ts'

/** One condition of a rule, and what of the user satisfies it. */
export interface ExplainedCondition {
  readonly text: string
  readonly because?: {
    readonly attribute: string
    readonly value: unknown
    /** Of a group: from the group that holds the user itself up to the one that is meant. */
    readonly via?: readonly GroupStep[]
  }
}

export interface ExplainedRule {
  readonly matches: boolean
  readonly satisfied: readonly ExplainedCondition[]
  readonly missing: readonly ExplainedCondition[]
}

/** What it takes to explain a user's access. */
export interface ExplainedRow extends SubjectRow {
  readonly nesting: readonly Nesting[]
}

/** Columns of `ExplainedRow`; wants what `subjectColumns` want. */
export const explainedColumns: RawBuilder<unknown> = sql`${subjectColumns}, ${nestingColumn}`

/** What a rule's filter says of this user. Of several groups that satisfy a condition the nearest is named. */
export function explainerOf(row: ExplainedRow): (filter: Filter) => ExplainedRule {
  const chains = groupChains(row.groups, row.nesting)
  const rank = new Map([...chains.keys()].map((id, index) => [id, index]))
  const groups = row.groups.toSorted((a, b) => rank.get(a.value)! - rank.get(b.value)!)
  const subject = asSubject({ ...row, groups })

  const viaOf = ({ filter }: Condition): GroupStep[] | undefined => {
    if (filter.kind === 'not' || filter.path.attribute.name !== 'groups') return undefined
    const group = groups.find((each) => matches(filter, { groups: [each] }))
    return group && chains.get(group.value)
  }
  const shown = (condition: Condition): ExplainedCondition => {
    const { text, because } = condition
    if (!because) return { text }
    const via = viaOf(condition)
    return { text, because: via ? { ...because, via } : because }
  }
  return (filter) => {
    const explained = explain(filter, subject, userResourceType)
    return { ...explained, satisfied: explained.satisfied.map(shown), missing: explained.missing.map(shown) }
  }
}

/** What a filter that need not be a rule says of a user; undefined when there is no such user. */
export async function explainUser(executor: Executor, userId: string, filter: Filter) {
  const { rows } = await sql<ExplainedRow>`
    select ${explainedColumns}
    from scim_user u join user_state s on s.user_id = u.id join directory d on d.id = u.directory_id
    where u.id = ${userId}`.execute(executor)
  const [row] = rows
  return row && { id: userId, userName: String(row.document.userName), ...explainerOf(row)(filter) }
}
