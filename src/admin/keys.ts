import { z } from 'zod'
import { futureInstant, instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import type { AdminKeys } from '../operators/keys.ts'
import { actorNameOf } from './auth.ts'

const key = z
  .object({
    id: z.string(),
    name: z.string().meta({ description: 'Recorded as the actor of whatever is done with it' }),
    createdBy: z.string(),
    createdAt: instant,
    expiresAt: instant.nullable(),
    lastUsedAt: instant.nullable().meta({ description: 'To the minute' }),
  })
  .meta({ id: 'AdminKey' })

const issuedKey = z
  .object({ ...key.shape, key: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'IssuedAdminKey' })

const newKey = z
  .strictObject({
    name: z.string().regex(/^[\w.@+-]{1,100}$/, 'must be 1 to 100 of A-Z, a-z, 0-9 and _ . @ + -'),
    expiresAt: futureInstant.optional(),
  })
  .meta({ id: 'NewAdminKey' })

const tag = 'Keys'

/** `/keys`: named keys of operators, beside those of `TENURE_ADMIN_KEY`. */
export function keyOperations({ adminKeys }: { adminKeys: AdminKeys }): Operation[] {
  return [
    operation({
      method: 'post',
      path: '/keys',
      operationId: 'createKey',
      summary: 'Create an admin key',
      description:
        'One for each person or program: its name stands in the audit trail, and it can be taken back alone.',
      tag,
      body: newKey,
      answers: { 201: issuedKey, 409: problem },
      handle: ({ body, req }) => adminKeys.create({ ...body, createdBy: actorNameOf(req) }),
    }),
    operation({
      method: 'get',
      path: '/keys',
      operationId: 'listKeys',
      summary: 'List admin keys',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(key) },
      async handle({ query: { limit, cursor } }) {
        const items = await adminKeys.list({ limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/keys/{id}',
      operationId: 'getKey',
      summary: 'Show an admin key',
      tag,
      answers: { 200: key },
      handle: ({ params }) => adminKeys.get(params.id),
    }),
    operation({
      method: 'delete',
      path: '/keys/{id}',
      operationId: 'deleteKey',
      summary: 'Delete an admin key',
      tag,
      answers: { 204: undefined },
      handle: ({ params }) => adminKeys.remove(params.id),
    }),
  ]
}
