import { z } from 'zod'
import { Invalid } from '../errors.ts'

/**
 * Reads a body or query by its schema.
 *
 * @throws Invalid with the path of every field that is wrong, dotted; `(body)` for the whole
 */
export function parse<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const parsed = schema.safeParse(input ?? {})
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ field: [...issue.path, key].join('.'), message: 'is not a known field' }))
      : [{ field: issue.path.join('.') || '(body)', message: issue.message }],
  )
  throw new Invalid('The request has fields that cannot be used', problems)
}

/** `?limit=&cursor=`: a cursor is the key of the last item, opaque to the caller. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
  cursor: z.string().max(1_000).optional(),
})

export interface Listed<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

/** `keyOf` is what the next page starts after. */
export function listed<T>(items: readonly T[], limit: number, keyOf: (item: T) => string): Listed<T> {
  const last = items.length === limit ? items.at(-1) : undefined
  return { items, next: last === undefined ? null : Buffer.from(keyOf(last)).toString('base64url') }
}

/**
 * What a cursor holds. `shape`: what the list puts into one (a pattern, or whatever tells), without NUL in any case.
 *
 * @throws Invalid for anything that this list has not given out
 */
export function cursorKey(
  cursor: string | undefined,
  shape: { test(key: string): boolean } = /^[^\0]+$/,
): string | undefined {
  if (cursor === undefined) return undefined
  const key = Buffer.from(cursor, 'base64url').toString('utf8')
  if (!shape.test(key) || Buffer.from(key).toString('base64url') !== cursor) {
    throw new Invalid('The request has fields that cannot be used', [
      { field: 'cursor', message: 'is not a cursor of this list' },
    ])
  }
  return key
}
