import { z } from 'zod'
import { instant, instantText, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import type { Clients } from '../trust/clients.ts'
import { presetNames, presets } from '../trust/presets.ts'
import { actorOf } from './auth.ts'
import { label } from './fields.ts'

/** RFC 6749 §A.1, without the space that no header would keep at its ends. */
const id = z
  .string()
  .regex(/^[\x21-\x7e]{1,2000}$/, 'must be 1 to 2,000 visible ASCII characters')
  .meta({ description: 'As it stands in `client_id`; a URL where the MCP client names itself so', example: 'claude' })
const auth = z.enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'])
const preset = z.enum(presetNames)
const tokenRequestsPerMinute = z.int().min(1).max(1_000_000)
const rateDescription = 'Token requests that are let through for each of its users in a minute'
const jwksUri = z.string().max(2_000)

const client = z
  .object({
    id: z.string(),
    name: z.string(),
    auth,
    jwksUri: z.string().nullable(),
    preset: z.string().nullable(),
    tokenRequestsPerMinute: tokenRequestsPerMinute.meta({ description: rateDescription }),
    secrets: z
      .array(z.object({ createdAt: instantText, expiresAt: instantText.nullable() }))
      .meta({ description: 'Newest first; the older ones are good until their time is up' }),
    createdAt: instant,
  })
  .meta({ id: 'McpClient' })

const madeClient = z
  .object({
    ...client.shape,
    secret: z.string().optional().meta({ description: 'Only where one was made just now; shown this once' }),
  })
  .meta({ id: 'MadeMcpClient' })

const newClient = z
  .strictObject({
    preset: preset
      .optional()
      .meta({ description: 'A well-known MCP client: what is given beside it goes before what is known of it' }),
    id: id.optional().meta({ description: 'Required without a preset' }),
    name: label.optional(),
    auth: auth.optional().meta({ description: 'Required without a preset' }),
    jwksUri: jwksUri.optional().meta({ description: 'Its public keys: of `private_key_jwt`, and only of it' }),
    tokenRequestsPerMinute: tokenRequestsPerMinute.optional().meta({ description: `${rateDescription}; default 600` }),
  })
  .meta({ id: 'NewMcpClient' })

const clientChange = z
  .strictObject({
    name: label.optional(),
    auth: auth
      .optional()
      .meta({ description: 'To one with a secret: the answer has it. To one without: those it had are gone' }),
    jwksUri: jwksUri.optional(),
    tokenRequestsPerMinute: tokenRequestsPerMinute
      .nullable()
      .optional()
      .meta({ description: 'null: the default, 600' }),
  })
  .meta({ id: 'McpClientChange' })

const knownPreset = z
  .object({
    preset,
    seen: z.string().meta({ description: 'The day of the copy' }),
    document: z
      .looseObject({ client_id: z.string(), client_name: z.string() })
      .meta({ description: 'Its Client ID Metadata Document, as it was on that day' }),
    note: z.string().meta({ description: 'What is different in use, and is to be configured' }),
  })
  .meta({ id: 'McpClientPreset' })

const tag = 'MCP clients'

/** `/clients`: the MCP clients that may come for tokens. */
export function clientOperations({ clients }: { clients: Clients }): Operation[] {
  return [
    operation({
      method: 'post',
      path: '/clients',
      operationId: 'createClient',
      summary: 'Register an MCP client',
      description:
        'The answer carries the `secret` of one that has a secret, this once. One that is named by the URL of its metadata document need not be registered; where it is, this goes before the document, and it may get tokens also where its document does not list jwt-bearer.',
      tag,
      body: newClient,
      answers: { 201: madeClient, 409: problem },
      handle: ({ body }) => clients.create(body),
    }),
    operation({
      method: 'get',
      path: '/clients',
      operationId: 'listClients',
      summary: 'List MCP clients',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(client) },
      async handle({ query: { limit, cursor } }) {
        const items = await clients.list({ limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/clients/{id}',
      operationId: 'getClient',
      summary: 'Show an MCP client',
      tag,
      answers: { 200: client },
      handle: ({ params }) => clients.get(params.id),
    }),
    operation({
      method: 'patch',
      path: '/clients/{id}',
      operationId: 'changeClient',
      summary: 'Change an MCP client',
      tag,
      body: clientChange,
      answers: { 200: madeClient },
      handle: ({ params, body }) => clients.change(params.id, body),
    }),
    operation({
      method: 'delete',
      path: '/clients/{id}',
      operationId: 'deleteClient',
      summary: 'Delete an MCP client',
      description:
        'From the answer on it gets no token, and its open grants are closed, at every server and whoever recorded them; servers are told. Rules that name it stay. One whose id is the URL of a metadata document is from then on what that document says, as if it had never been registered.',
      tag,
      answers: { 204: undefined },
      handle: ({ params, req }) =>
        clients.remove(params.id, { source: 'admin', actor: actorOf(req), requestId: req.id }),
    }),
    operation({
      method: 'post',
      path: '/clients/{id}/rotate-secret',
      operationId: 'rotateClientSecret',
      summary: 'Give an MCP client a new secret',
      description: 'The old one is good beside it for another 24 hours.',
      tag,
      answers: { 200: z.object({ secret: z.string().meta({ description: 'Shown this once' }) }), 409: problem },
      handle: ({ params }) => clients.rotateSecret(params.id),
    }),
    operation({
      method: 'get',
      path: '/client-presets',
      operationId: 'listClientPresets',
      summary: 'List the MCP clients that are known by name',
      tag,
      answers: { 200: pageOf(knownPreset) },
      handle: () => ({
        items: presetNames.map((name) => ({ preset: name, ...presets[name] })),
        next: null,
      }),
    }),
  ]
}
