import { sql } from 'kysely'
import type { Executor } from '../db/pool.ts'
import { parseFilter } from '../filter/parse.ts'
import type { Rule } from '../lifecycle/rules.ts'
import type { Logger } from '../log.ts'
import { userResourceType } from '../schemas/user.ts'

/** A rule with its filter as it was written, too. */
export interface WrittenRule extends Rule {
  readonly when: string
}

/** The rules of one directory at one policy version, filters parsed. */
export interface Policy {
  readonly version: number
  readonly rules: readonly WrittenRule[]
}

/**
 * Rules parsed once per policy version. Every change of a rule raises its directory's version in the same transaction,
 * so a version names exactly one set of rules and the cache can never be stale, only absent.
 */
export class PolicyCache {
  readonly #latest = new Map<string, Policy>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  /**
   * Reads a snapshot that carries `directoryId` and `policyVersion`, and the rules of exactly that version. When they
   * are not at hand they are loaded and the snapshot is read anew, so that users and rules are of one moment.
   */
  async read<S extends { directoryId: string; policyVersion: number }>(
    executor: Executor,
    readSnapshot: () => Promise<S | undefined>,
  ): Promise<{ snapshot: S; policy: Policy } | undefined> {
    for (let tries = 0; tries < 100; tries++) {
      const snapshot = await readSnapshot()
      if (!snapshot) return undefined
      const policy = this.#latest.get(snapshot.directoryId)
      if (policy?.version === snapshot.policyVersion) return { snapshot, policy }
      await this.#load(executor, snapshot.directoryId)
    }
    throw new Error('rules change faster than they can be read')
  }

  async #load(executor: Executor, directoryId: string): Promise<void> {
    // The version in the statement that reads the rules: both are of one moment.
    const { rows } = await sql<{ version: number; rules: RuleRow[] }>`
      select d.policy_version as version, coalesce((
        select jsonb_agg(jsonb_build_object('id', r.id, 'server', r.server_id, 'when', r.filter, 'scopes', r.scopes, 'clients', r.clients) order by r.id)
        from rule r join server s on s.id = r.server_id and s.deleted_at is null
        where r.directory_id = d.id), '[]') as rules
      from directory d where d.id = ${directoryId}`.execute(executor)
    const [row] = rows
    if (row)
      this.#latest.set(directoryId, { version: row.version, rules: row.rules.flatMap((rule) => this.#parse(rule)) })
  }

  /** A filter was parsed before it was stored; one that no longer parses gives nobody anything and is shouted about. */
  #parse(row: RuleRow): WrittenRule[] {
    try {
      return [parseRule(row)]
    } catch (error) {
      this.#log.error({ ruleId: row.id, error }, 'rule.unreadable')
      return []
    }
  }
}

/** A rule as it is stored. */
export interface RuleRow {
  readonly id: string
  readonly server: string
  readonly when: string
  readonly scopes: readonly string[]
  readonly clients: readonly string[] | null
}

/** @throws FilterError */
export function parseRule({ id, server, when, scopes, clients }: RuleRow): WrittenRule {
  return { id, serverId: server, when, filter: parseFilter(when, userResourceType), scopes, clients }
}
