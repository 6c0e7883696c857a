import { createHash } from 'node:crypto'
import type { Position } from '../directory/listing.ts'
import type { Sealer } from '../secrets.ts'
import { ScimError } from './errors.ts'
import { isObject } from './json.ts'

/** How long a cursor is good for (ServiceProviderConfig's `pagination.cursorTimeout`). */
export const cursorTimeoutSeconds = 3_600

/** What a cursor was given out for: the directory, what is listed there, its filter, its sort. */
export type CursorScope = readonly (string | undefined)[]

export interface Cursors {
  issue(scope: CursorScope, position: Position): Promise<string>
  /** @throws ScimError 400 `invalidCursor`, `expiredCursor` */
  read(scope: CursorScope, cursor: string): Promise<Position>
}

/**
 * Cursors of RFC 9865: the place after which to go on, sealed. Nothing is kept here, so any process reads what another
 * gave out; a client can neither read the value that a place holds nor make a place up, or take it to another list.
 * Whose place is gone goes on behind where it was.
 */
export function createCursors({ sealer, now = Date.now }: { sealer: Sealer; now?: () => number }): Cursors {
  return {
    issue(scope, { key, id }) {
      const expiresAt = now() + cursorTimeoutSeconds * 1_000
      return sealer.seal(JSON.stringify({ cursor: digestOf(scope), key, id, expiresAt }))
    },

    async read(scope, cursor) {
      const content = await opened(cursor)
      if (content?.cursor !== digestOf(scope)) throw new ScimError(400, 'invalidCursor', refusal)
      if (Number(content.expiresAt) < now()) throw new ScimError(400, 'expiredCursor', refusal)
      return { key: content.key as string | null, id: content.id as string }
    },
  }

  async function opened(cursor: string): Promise<Record<string, unknown> | undefined> {
    try {
      const content: unknown = JSON.parse(await sealer.unseal(cursor))
      return isObject(content) ? content : undefined
    } catch {
      return undefined
    }
  }
}

/** The same for all: what is wrong with it is nobody's business. */
const refusal = 'The cursor is of no use for this request: begin again with an empty one'

function digestOf(scope: CursorScope): string {
  return createHash('sha256')
    .update(JSON.stringify(scope.map((each) => each ?? null)))
    .digest('base64url')
}
