import { z } from 'zod'
import type { Egress } from '../connectors/egress.ts'
import type { Servers } from '../delivery/servers.ts'
import { futureInstant, instant, instantText, type Operation, operation, pageOf } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { label, scope, slug } from './fields.ts'

const id = slug.meta({ example: 'linear' })
const resource = z
  .string()
  .meta({ description: 'RFC 9728 resource identifier', example: 'https://mcp.linear.example/mcp' })
const url = z
  .unknown()
  .optional()
  .meta({
    description: 'Where a webhook is sent',
    example: 'https://hooks.linear.example/tenure',
    override: { type: 'string' },
  })

const connector = z
  .object({
    id: z.string(),
    type: z.string().meta({ example: 'webhook' }),
    url,
    secrets: z
      .array(z.object({ createdAt: instantText, signsUntil: instantText.nullable() }))
      .meta({ description: 'Newest first; the older ones still sign until their time is up' }),
    signingSecret: z.string().optional().meta({ description: 'Only in the answer that made it' }),
  })
  .meta({ id: 'Connector' })

const tokenLifeSeconds = z.int().min(30).max(86_400)
const tokenFormat = z.enum(['opaque', 'jwt'])
const concurrency = z.int().min(1).max(1_000)

export const server = z
  .object({
    id,
    name: z.string(),
    resource,
    connectors: z.array(connector),
    scopes: z.array(z.string()).nullable().meta({ description: 'null: whatever its rules name' }),
    tokenLifeSeconds: tokenLifeSeconds.nullable(),
    tokenFormat,
    concurrency: concurrency.meta({ description: 'Requests under way at once' }),
    paused: z.boolean(),
    pausedReason: z.string().nullable(),
    failing: z.int().meta({ description: 'Failures in a row; from ten on the normal lane is only probed' }),
    createdAt: instant,
  })
  .meta({ id: 'Server' })

/** Clients have it from a URL parser, and another spelling would match nothing. A root may go without its slash. */
function isCanonical(text: string): boolean {
  const href = URL.parse(text)?.href
  return href === undefined || href === text || href === `${text}/`
}

const newServer = z
  .strictObject({
    id,
    name: label,
    resource: resource
      .refine((text) => Buffer.byteLength(text) <= 2_000, 'must have at most 2,000 bytes')
      .refine(
        isCanonical,
        'must be spelled as MCP clients spell it: host in lower case, no default port, no dot segments',
      ),
    connectors: z
      .array(z.looseObject({ type: z.string().meta({ example: 'webhook' }), url }))
      .max(10)
      .meta({ description: 'Each way in which the server is told' }),
    scopes: z.array(scope).min(1).max(200).optional(),
    tokenLifeSeconds: tokenLifeSeconds.optional(),
    tokenFormat: tokenFormat.optional(),
    concurrency: concurrency.optional(),
  })
  .meta({ id: 'NewServer' })

const serverChange = z
  .strictObject({
    name: label.optional(),
    resource: newServer.shape.resource.optional(),
    scopes: z.array(scope).min(1).max(200).nullable().optional(),
    tokenLifeSeconds: tokenLifeSeconds.nullable().optional(),
    tokenFormat: tokenFormat.optional(),
    concurrency: concurrency.optional(),
    connectors: z
      .array(z.looseObject({ id: z.string().optional(), type: z.string().optional() }))
      .max(10)
      .optional(),
  })
  .meta({ id: 'ServerChange' })

const credential = z
  .object({
    clientId: z.string(),
    label: z.string().nullable(),
    createdAt: instant,
    expiresAt: instant.nullable(),
    lastUsedAt: instant.nullable(),
  })
  .meta({ id: 'ServerCredential' })

const issuedCredential = z
  .object({ ...credential.shape, clientSecret: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'IssuedServerCredential' })

const tag = 'Servers'

/** `/servers` and the credentials with which they ask. */
export function serverOperations({
  servers,
  egress,
}: {
  servers: Servers
  egress: Pick<Egress, 'checkConfiguredUrl'>
}): Operation[] {
  return [
    operation({
      method: 'post',
      path: '/servers',
      operationId: 'createServer',
      summary: 'Register an MCP server',
      description: 'The answer carries the `signingSecret` of each webhook, this once.',
      tag,
      body: newServer,
      answers: { 201: server, 409: problem },
      handle({ body }) {
        egress.checkConfiguredUrl(body.resource, 'resource')
        return servers.create(body)
      },
    }),
    operation({
      method: 'get',
      path: '/servers',
      operationId: 'listServers',
      summary: 'List servers',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(server) },
      async handle({ query: { limit, cursor } }) {
        const items = await servers.list({ limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/servers/{id}',
      operationId: 'getServer',
      summary: 'Show a server',
      tag,
      answers: { 200: server },
      handle: ({ params }) => servers.get(params.id),
    }),
    operation({
      method: 'patch',
      path: '/servers/{id}',
      operationId: 'changeServer',
      summary: 'Change a server',
      description:
        '`connectors` is the whole list: one with an `id` is kept (and changed where it says more), one without is new and comes with its `signingSecret`, one left out is removed. A new one hears of everyone who has access, and of the revocations that a removed one has yet to take; without a new one to take them such a removal is a 409.',
      tag,
      query: z.strictObject({
        tell: z
          .enum(['true', 'false'])
          .default('true')
          .meta({ description: 'false: what a removed connector has yet to be told is told to nobody' }),
      }),
      body: serverChange,
      answers: { 200: server, 409: problem },
      handle({ params, query, body }) {
        if (body.resource !== undefined) egress.checkConfiguredUrl(body.resource, 'resource')
        return servers.change(params.id, body, { tell: query.tell === 'true' })
      },
    }),
    operation({
      method: 'delete',
      path: '/servers/{id}',
      operationId: 'deleteServer',
      summary: 'Delete a server: nobody may hold anything there',
      description:
        'From the answer on. Its rules and credentials are gone. Everyone who had access is still told out, like any leaver, unless `tell=false`.',
      tag,
      query: z.strictObject({
        tell: z
          .enum(['true', 'false'])
          .default('true')
          .meta({ description: 'false: nothing more is sent, not even revocations that it has yet to take' }),
      }),
      answers: { 204: undefined },
      handle: ({ params, query }) => servers.remove(params.id, { tell: query.tell === 'true' }),
    }),
    operation({
      method: 'post',
      path: '/servers/{id}/pause',
      operationId: 'pauseServer',
      summary: 'Pause a server',
      description: 'Stops what is given, never what is taken: revocations go on.',
      tag,
      body: z.strictObject({ reason: label.default('paused by an operator') }),
      answers: { 200: server },
      handle: ({ params, body }) => servers.pause(params.id, body.reason),
    }),
    operation({
      method: 'post',
      path: '/servers/{id}/resume',
      operationId: 'resumeServer',
      summary: 'Resume a server',
      description: 'Also one that failed or answered 410: what waits is sent now.',
      tag,
      answers: { 200: server },
      handle: ({ params }) => servers.resume(params.id),
    }),
    operation({
      method: 'post',
      path: '/servers/{id}/connectors/{connector}/rotate-secret',
      operationId: 'rotateConnectorSecret',
      summary: 'Give a connector a new signing secret',
      description: 'The old one signs beside it for another 24 hours.',
      tag,
      answers: { 200: z.object({ signingSecret: z.string().meta({ description: 'Shown this once' }) }) },
      handle: ({ params }) => servers.rotateSecret(params.id, params.connector),
    }),
    operation({
      method: 'get',
      path: '/servers/{id}/credentials',
      operationId: 'listServerCredentials',
      summary: 'List the credentials of a server',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(credential) },
      async handle({ params, query: { limit, cursor } }) {
        const items = await servers.credentials(params.id, { limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ clientId }) => clientId)
      },
    }),
    operation({
      method: 'delete',
      path: '/servers/{id}/credentials/{clientId}',
      operationId: 'deleteServerCredential',
      summary: 'Delete credentials of a server',
      tag,
      answers: { 204: undefined },
      handle: ({ params }) => servers.revokeCredential(params.id, params.clientId),
    }),
    operation({
      method: 'post',
      path: '/servers/{id}/credentials',
      operationId: 'issueServerCredential',
      summary: 'Issue credentials to a server',
      description:
        'With them the server introspects tokens and records grants for itself, by HTTP Basic; nothing else.',
      tag,
      body: z.strictObject({ label: label.optional(), expiresAt: futureInstant.optional() }),
      answers: { 201: issuedCredential },
      handle: ({ params, body }) => servers.issueCredential(params.id, body),
    }),
  ]
}
