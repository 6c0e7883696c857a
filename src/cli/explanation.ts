import { plain } from './plain.ts'
import { moment } from './record.ts'
import type { Colours, Terminal } from './terminal.ts'

/** A part of a rule's filter, and the fact about a user that decides it. */
export interface Condition {
  readonly text: string
  readonly because?: {
    readonly attribute: string
    readonly value: unknown
    /** From the group that holds the user itself up to the one that is meant. */
    readonly via?: ReadonlyArray<{ readonly id: string; readonly displayName: string }>
  }
}

interface Explained {
  readonly rule: string
  readonly scopes: readonly string[]
  readonly clients: readonly string[] | null
  readonly satisfied: readonly Condition[]
  readonly missing: readonly Condition[]
}

/** As `GET /users/{id}/why` has it. */
export interface Why {
  readonly user: { readonly userName: string }
  readonly server: string
  readonly has: boolean
  readonly blockedBy: string | null
  readonly since: string | null
  readonly by:
    | { readonly kind: 'event'; readonly event: string; readonly source: string }
    | { readonly kind: 'policy' }
    | null
  readonly rules: readonly Explained[]
  readonly nearest: Explained | null
}

const blocks: Readonly<Record<string, string>> = {
  inactive: 'inactive in its directory',
  deleted: 'deleted from its directory',
  held: 'held, until its identity provider or tenure user release says otherwise',
  directory_deleted: 'its directory was removed',
  server_deleted: 'the server was removed',
}

/** Why somebody has access: yes or no first, then since when, then the rules with what each asks. */
export function drawWhy(why: Why, { colours, now }: Pick<Terminal, 'colours' | 'now'>): string {
  const name = plain(why.user.userName)
  const since = why.since === null ? [] : [`  since ${moment(why.since, now)}${causeOf(why)}`]
  if (why.has) {
    const rules = why.rules.flatMap((rule) => drawRule('by the rule', rule, colours))
    return [`${colours.green('yes')}: ${name} has access to ${why.server}`, ...since, ...rules].join('\n')
  }
  const { nearest } = why
  const block = why.blockedBy === null ? 'no rule gives it' : (blocks[why.blockedBy] ?? plain(why.blockedBy))
  const lead = nearest?.missing.length === 0 ? 'else given by the rule' : 'closest is the rule'
  const rule = nearest === null ? [] : drawRule(lead, nearest, colours)
  return [`${colours.red('no')}: ${name} has no access to ${why.server}: ${block}`, ...since, ...rule].join('\n')
}

/** What is met under `✓`, what is missing under `✗`, each with its reason. */
export function drawConditions(
  { satisfied, missing }: { satisfied: readonly Condition[]; missing: readonly Condition[] },
  colours: Colours,
): string[] {
  return [
    ...satisfied.map((condition) => drawCondition(colours.green('✓'), condition, colours)),
    ...missing.map((condition) => drawCondition(colours.red('✗'), condition, colours)),
  ]
}

function drawRule(lead: string, rule: Explained, colours: Colours): string[] {
  const clients = rule.clients ? ` through ${plain(rule.clients.join(', '))}` : ''
  return [`${lead} ${rule.rule}: ${plain(rule.scopes.join(' '))}${clients}`, ...drawConditions(rule, colours)]
}

function drawCondition(mark: string, { text, because }: Condition, colours: Colours): string {
  return `  ${mark} ${plain(text)}${because ? colours.dim(reasonOf(because)) : ''}`
}

function reasonOf({ attribute, value, via = [] }: NonNullable<Condition['because']>): string {
  const path = via.length > 1 ? ` through ${via.map(({ displayName }) => plain(displayName)).join(' → ')}` : ''
  const shown = value === undefined || value === null ? 'absent' : JSON.stringify(value)
  return `  (${plain(attribute)} is ${plain(shown)}${path})`
}

function causeOf({ by }: Why): string {
  if (by === null) return ''
  return by.kind === 'policy' ? ', by a change of the rules' : `, by ${plain(by.event)} (${plain(by.source)})`
}
