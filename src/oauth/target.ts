import { type RawBuilder, sql } from 'kysely'
import type { Database } from '../db/pool.ts'
import { prepared } from '../db/prepared.ts'
import { invalidGrant, OAuthError } from './errors.ts'

/** The MCP server that a token is for. */
export interface Target {
  readonly id: string
  /** RFC 9728 resource identifier: the audience, byte for byte. */
  readonly resource: string
  /** null: whatever its rules name */
  readonly scopes: readonly string[] | null
  readonly tokenLifeSeconds: number | null
  readonly tokenFormat: 'opaque' | 'jwt'
}

/**
 * Chooses the one server a token is for. An ID-JAG that names resources must name ours only, and the request may pick
 * among them; one that names none is for the only server there is.
 */
export function createTargets({ db }: { db: Database }) {
  /** @throws OAuthError: `invalid_target` for what the request names, `invalid_grant` for what the ID-JAG does */
  return async function choose(asserted: readonly string[] | undefined, requested: readonly string[]): Promise<Target> {
    const named = [...new Set([...(asserted ?? []), ...requested])]
    const isNamed = named.length === 1 ? sql`resource = ${named[0]}` : sql`resource = any(${named})`
    const known = new Map((await find(isNamed)).map((target) => [target.resource, target]))
    if (asserted?.some((resource) => !known.has(resource))) throw invalidGrant('resource_unknown')
    if (requested.some((resource) => !known.has(resource))) throw invalidTarget('This resource is not known here')
    const possible = asserted ? asserted.map((resource) => known.get(resource)!) : [await only()]
    const wanted = requested.length === 0 ? possible : possible.filter(({ resource }) => requested.includes(resource))
    if (requested.some((resource) => !possible.some((target) => target.resource === resource)))
      throw invalidGrant('resource_mismatch')
    if (wanted.length !== 1) throw invalidTarget('Name the one resource that the token is for')
    return wanted[0]!
  }

  async function only(): Promise<Target> {
    const [target, another] = await find(sql`true`)
    if (!target || another) throw invalidGrant('resource_unnamed')
    return target
  }

  async function find(where: RawBuilder<unknown>): Promise<Target[]> {
    const { rows } = await sql<Target>`${prepared}
      select id, resource, scopes, token_life_seconds as "tokenLifeSeconds", token_format as "tokenFormat"
      from server where deleted_at is null and ${where}`.execute(db)
    return rows
  }
}

export type ChooseTarget = ReturnType<typeof createTargets>

/** RFC 8707 §2. */
function invalidTarget(description: string): OAuthError {
  return new OAuthError(400, 'invalid_target', description)
}
