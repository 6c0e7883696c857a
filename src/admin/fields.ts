import { z } from 'zod'

/** An id that an operator chooses: of a directory, a server, a rule. */
export const slug = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and -, not starting with -')

/** A name for people to read. */
export const label = z.string().min(1).max(200)

/** RFC 6749 §3.3: printable ASCII without space, quote and backslash. */
export const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, 'must be a scope token (RFC 6749 §3.3)')
  .meta({ example: 'read' })
