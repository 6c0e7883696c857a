import { z } from 'zod'
import { instant, type Operation, operation, pageOf } from '../http/operation.ts'
import { problem } from '../http/problem.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'

const signingKey = z
  .object({
    kid: z.string(),
    alg: z.enum(['ES256']),
    state: z
      .enum(['next', 'signing', 'previous'])
      .meta({ description: '`next` is published and signs from `signsFrom` on; `previous` signs no more' }),
    createdAt: instant,
    signsFrom: instant,
    publishedUntil: instant.nullable().meta({ description: 'null until a newer one is made' }),
  })
  .meta({ id: 'SigningKey' })

const tag = 'Signing keys'

/** `/signing-keys`: with which tokens that are JWTs are signed. Never the private half. */
export function signingKeyOperations({ signingKeys }: { signingKeys: SigningKeys }): Operation[] {
  return [
    operation({
      method: 'get',
      path: '/signing-keys',
      operationId: 'listSigningKeys',
      summary: 'List the signing keys that are published, newest first',
      description: 'The first is made when it is first needed. After 90 days each is followed by a new one.',
      tag,
      answers: { 200: pageOf(signingKey) },
      handle: async () => ({ items: await signingKeys.list(), next: null }),
    }),
    operation({
      method: 'post',
      path: '/signing-keys/rotate',
      operationId: 'rotateSigningKey',
      summary: 'Publish a new signing key',
      description:
        'It signs in five minutes, when whoever checks signatures knows it. The one before stays published for 48 hours after.',
      tag,
      answers: { 201: signingKey, 409: problem },
      handle: () => signingKeys.rotate(),
    }),
  ]
}
