import { z } from 'zod'
import { type Before, givenInstant, instant, nameOf, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import type { Trail } from '../operators/trail.ts'
import { callerOf } from './auth.ts'

const action = z
  .object({
    id: z.string(),
    at: instant,
    actor: z.string().meta({ description: 'The name of the admin key; `root` for that of TENURE_ADMIN_KEY' }),
    operation: z.string().meta({ example: 'PUT /rules/{id}' }),
    path: z.string(),
    requestId: z.string(),
    status: z.int().nullable().meta({ description: 'Of the answer; null: there was none' }),
  })
  .meta({ id: 'Action' })

/** `/audit`: what operators did. */
export function auditOperations({ trail }: { trail: Trail }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/audit',
      operationId: 'listActions',
      summary: 'List what operators did, newest first',
      description: 'Each change is written down before it is begun. What was sent is not kept.',
      tag: 'Audit',
      query: pageQuery.extend({ actor: z.string().optional(), since: givenInstant.optional() }),
      answers: { 200: pageOf(action) },
      async handle({ query: { actor, since, limit, cursor } }) {
        const items = await trail.list({ actor, since, limit, before: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
  ]
}

/**
 * Writes down, before it is begun, whatever an operator may change; and how it ended. What a server records with its own
 * credentials stands in the ledger.
 */
export function recordActions({ trail }: { trail: Trail }): Before {
  return async (operation, req) => {
    const caller = callerOf(req)
    if (operation.method === 'get' || caller.kind !== 'admin') return undefined
    const end = await trail.begin({
      actor: caller.name,
      operation: nameOf(operation),
      path: req.path,
      requestId: String(req.id),
    })
    return (status) => {
      end(status).catch((error) => req.log.warn({ error }, 'action.unclosed'))
    }
  }
}
