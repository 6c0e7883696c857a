import { z } from 'zod'
import { instant, type Operation, operation, pageOf, reply } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { knownAlgorithms } from '../trust/algorithms.ts'
import { defaultKey, type GivenIssuer, type IssuerRecord, type Issuers } from '../trust/issuers.ts'
import { slug } from './fields.ts'

const url = z.string().max(2_000)
/** Plain ASCII: another spelling of a host or path would be another issuer to whoever compares bytes. */
const issuerUrl = z
  .string()
  .max(1_000)
  .regex(/^[ -~]*$/, 'must be ASCII')
const subject = z.enum(['externalId', 'userName', 'email']).meta({
  description:
    'Which attribute of a user the `sub` of its assertions is; there is no other way to be found. `email` is userName or primary e-mail, without case, of exactly one living user',
})
const tenant = z.string().min(1).max(200)

const issuer = z
  .object({
    id: z.string().meta({ description: 'Within its directory', example: defaultKey }),
    directory: z.string(),
    issuer: z.string(),
    tenant: z.string().nullable().meta({ description: 'null: its assertions may carry none' }),
    jwksUri: z.string(),
    subject,
    algorithms: z.array(z.string()),
    maxAuthAgeSeconds: z.int().nullable(),
    acrValues: z.array(z.string()).nullable(),
    createdAt: instant,
    keysFailingSince: instant
      .nullable()
      .meta({ description: 'Since when its key set cannot be had, as far as anybody has tried' }),
  })
  .meta({ id: 'TrustedIssuer' })

const given = z
  .strictObject({
    issuer: issuerUrl.meta({ description: 'Compared byte for byte', example: 'https://acme.okta.example' }),
    tenant: tenant.optional().meta({ description: 'The `tenant` that its assertions carry, of a shared issuer' }),
    jwksUri: url.optional().meta({
      description: 'Left out: read from the metadata of the issuer, now and not again',
      example: 'https://acme.okta.example/oauth2/v1/keys',
    }),
    subject,
    algorithms: z
      .array(z.enum(knownAlgorithms))
      .min(1)
      .optional()
      .meta({ description: 'Of its signatures; default RS256, ES256 and EdDSA' }),
    maxAuthAgeSeconds: z.int().min(1).max(31_536_000).optional().meta({
      description:
        'How long ago its people may have signed in, by `auth_time`; left out: whenever. Only for an issuer whose `auth_time` is that of the sign-in and not of the exchange',
    }),
    acrValues: z
      .array(z.string().min(1).max(200))
      .min(1)
      .max(20)
      .optional()
      .meta({ description: 'One of these must be the `acr`; left out: any, or none' }),
  })
  .meta({ id: 'NewTrustedIssuer' })

const tag = 'Issuers'
const removal =
  'Nothing is issued on its word to a request that begins after the answer. Tokens that were issued stay; a cut ends those.'

/** `/directories/{id}/issuer` and `/issuers`: whose ID-JAGs are believed for the users of a directory. */
export function issuerOperations({ issuers }: { issuers: Issuers }): Operation[] {
  return [
    operation({
      method: 'put',
      path: '/directories/{id}/issuer',
      operationId: 'putIssuer',
      summary: 'Trust an issuer of ID-JAGs for the users of a directory',
      description: `Its id there is \`${defaultKey}\`; further ones are put under ids of their own. An issuer, with its tenant, belongs to one directory.`,
      tag,
      body: given,
      answers: { 200: issuer, 201: issuer, 409: problem },
      handle: ({ params, body }) => put(params.id, defaultKey, body),
    }),
    operation({
      method: 'get',
      path: '/directories/{id}/issuer',
      operationId: 'getIssuer',
      summary: 'Show the trusted issuer of a directory',
      tag,
      answers: { 200: issuer },
      handle: async ({ params }) => shown(await issuers.get(params.id, defaultKey)),
    }),
    operation({
      method: 'delete',
      path: '/directories/{id}/issuer',
      operationId: 'deleteIssuer',
      summary: 'Trust the issuer of a directory no more',
      description: removal,
      tag,
      answers: { 204: undefined },
      handle: ({ params }) => issuers.remove(params.id, defaultKey),
    }),
    operation({
      method: 'get',
      path: '/directories/{id}/issuers',
      operationId: 'listIssuers',
      summary: 'List the trusted issuers of a directory',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(issuer) },
      async handle({ params, query: { limit, cursor } }) {
        const items = await issuers.list(params.id, { limit, after: cursorKey(cursor) })
        return listed(items.map(shown), limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'put',
      path: '/directories/{id}/issuers/{key}',
      operationId: 'putIssuerByKey',
      summary: 'Trust a further issuer for the users of a directory',
      tag,
      params: z.strictObject({ id: z.string(), key: slug }),
      body: given,
      answers: { 200: issuer, 201: issuer, 409: problem },
      handle: ({ params, body }) => put(params.id, params.key, body),
    }),
    operation({
      method: 'get',
      path: '/directories/{id}/issuers/{key}',
      operationId: 'getIssuerByKey',
      summary: 'Show a trusted issuer',
      tag,
      answers: { 200: issuer },
      handle: async ({ params }) => shown(await issuers.get(params.id, params.key)),
    }),
    operation({
      method: 'delete',
      path: '/directories/{id}/issuers/{key}',
      operationId: 'deleteIssuerByKey',
      summary: 'Trust an issuer no more',
      description: removal,
      tag,
      answers: { 204: undefined },
      handle: ({ params }) => issuers.remove(params.id, params.key),
    }),
  ]

  async function put(directoryId: string, key: string, body: GivenIssuer) {
    const { issuer, isNew } = await issuers.put(directoryId, key, body)
    return reply(isNew ? 201 : 200, shown(issuer))
  }
}

function shown({ key, ...record }: IssuerRecord) {
  return { ...record, id: key }
}
