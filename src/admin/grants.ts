import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import type { Servers } from '../delivery/servers.ts'
import type { Directories } from '../directory/directories.ts'
import { findUser } from '../directory/find-user.ts'
import { Forbidden, Invalid } from '../errors.ts'
import { givenInstant, instant, type Operation, operation, pageOf, reply } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import type { Grants } from '../ledger/grants.ts'
import { actorOf, callerOf } from './auth.ts'
import { scope } from './fields.ts'
import { queriedUser, userQuery } from './user-query.ts'

export const grant = z
  .object({
    id: z.string(),
    directory: z.string(),
    user: z.string(),
    server: z.string(),
    client: z.string().meta({ description: 'The MCP client, as it was recorded' }),
    scopes: z.array(z.string()),
    jti: z.string().nullable(),
    issuedAt: instant,
    expiresAt: instant,
    state: z.enum(['active', 'expired', 'closed']),
    closedAt: instant.nullable(),
    closedReason: z.string().nullable(),
    usedAt: instant
      .nullable()
      .meta({ description: 'When its server first asked about it; null: never, or that server does not ask' }),
    expectedDeadBy: instant.nullable().meta({
      description:
        'Of a closed one, until when its token may still be taken somewhere: its expiry, or when the server acknowledged the closing, if that was earlier. Null where it died with the grant: an opaque token that Tenure issued',
    }),
  })
  .meta({ id: 'Grant' })

export const userReference = z
  .union([
    z.strictObject({ id: z.string() }),
    z.strictObject({ userName: z.string() }),
    z.strictObject({ externalId: z.string() }),
  ])
  .meta({ id: 'UserReference' })

const reportedGrant = z
  .strictObject({
    directory: z.string().meta({ example: 'acme' }),
    user: userReference,
    server: z.string().meta({ example: 'linear' }),
    client: z.string().min(1).max(2_048).meta({ example: 'claude' }),
    scopes: z.array(scope).max(200),
    jti: z.string().min(1).max(500).optional().meta({ description: 'This or `token` is required' }),
    token: z.string().min(1).max(16_384).optional().meta({ description: 'Only its hash is kept' }),
    issuedAt: givenInstant.optional().meta({ description: 'Left out: now' }),
    expiresAt: givenInstant,
  })
  .refine(({ jti, token }) => jti !== undefined || token !== undefined, {
    path: ['jti'],
    message: 'jti or token is required',
  })
  .meta({ id: 'ReportedGrant' })

/** Clocks differ; an issue time further ahead than this is a mistake. */
const skewMs = 60_000

const tag = 'Grants'

/** `/grants`: recorded by operators and, for itself, by a server; read and revoked by operators. */
export function grantOperations({
  db,
  directories,
  servers,
  grants,
}: {
  db: Database
  directories: Directories
  servers: Servers
  grants: Grants
}): Operation[] {
  return [
    operation({
      method: 'post',
      path: '/grants',
      operationId: 'recordGrant',
      summary: 'Record a grant that was issued elsewhere',
      description:
        'If the gate allows it. A repeat, by `jti` or `token` at that server, answers 200 with the grant as it is now and changes nothing.',
      tag,
      security: ['adminKey', 'serverCredentials'],
      body: reportedGrant,
      answers: { 200: grant, 201: grant, 403: problem, 404: problem },
      async handle({ body, req }) {
        const caller = callerOf(req)
        if (caller.kind === 'server' && caller.serverId !== body.server)
          throw new Forbidden('A server records grants for itself only')
        checkTimes(body)
        await directories.get(body.directory)
        await servers.get(body.server)
        const userId = await findUser(db, body.directory, body.user)
        req.facts.userId = userId
        const { directory, user: _, server, ...rest } = body
        const reported = { ...rest, directoryId: directory, userId, serverId: server }
        const { grant, isNew } = await grants.record(reported, actorOf(req))
        return reply(isNew ? 201 : 200, grant)
      },
    }),
    operation({
      method: 'get',
      path: '/grants',
      operationId: 'listGrants',
      summary: 'List grants, newest first',
      tag,
      query: pageQuery.extend({
        ...userQuery,
        server: z.string().optional(),
        active: z.enum(['true', 'false']).optional(),
      }),
      answers: { 200: pageOf(grant), 404: problem },
      async handle({ query: { server, active, limit, cursor, ...query } }) {
        const items = await grants.list({
          userId: await queriedUser(db, query),
          serverId: server,
          active: active === undefined ? undefined : active === 'true',
          limit,
          before: cursorKey(cursor),
        })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/grants/{id}',
      operationId: 'getGrant',
      summary: 'Show a grant',
      tag,
      answers: { 200: grant },
      handle: ({ params }) => grants.get(params.id),
    }),
    operation({
      method: 'post',
      path: '/grants/{id}/revoke',
      operationId: 'revokeGrant',
      summary: 'Take one grant back',
      description:
        'For ever, and its server is told. The user keeps what the rules give. One that is no longer active is left as it was.',
      tag,
      answers: { 200: grant },
      handle: ({ params, req }) =>
        grants.revoke(params.id, { source: 'admin', actor: actorOf(req), requestId: req.id }),
    }),
  ]
}

function checkTimes({ issuedAt, expiresAt }: { issuedAt?: Date; expiresAt: Date }): void {
  const now = Date.now()
  if (issuedAt && issuedAt.getTime() > now + skewMs) {
    throw new Invalid('The grant is issued in the future', [{ field: 'issuedAt', message: 'is in the future' }])
  }
  if (expiresAt.getTime() <= (issuedAt?.getTime() ?? now)) {
    throw new Invalid('The grant ends before it begins', [{ field: 'expiresAt', message: 'is not after issuedAt' }])
  }
}
