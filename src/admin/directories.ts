import { z } from 'zod'
import { channelKinds } from '../directory/channels.ts'
import type { Directories, DirectoryRecord } from '../directory/directories.ts'
import { keyOf, type UnknownAttributes } from '../directory/unknown-attributes.ts'
import { futureInstant, instant, type Operation, operation, pageOf, reply } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { actorOf } from './auth.ts'
import type { ConfigurableKind } from './channel-kinds.ts'
import { eventUrl } from './channel-shown.ts'
import { label, slug } from './fields.ts'

const provider = z.enum(['okta', 'entra', 'google', 'ping', 'generic'])
const id = slug.meta({ example: 'acme' })
const silentAfterHours = z.int().min(1).max(8_760)
const scimRequestsPerSecond = z.int().min(1).max(100_000)
const assertionReuse = z.enum(['forbid', 'same_client_until_exp']).meta({
  description:
    'Whether an ID-JAG of its issuers may be presented again, by the MCP client that it is for, while it lives; some gateways do',
})
const scimRateDescription =
  'How many SCIM requests each of its tokens may make in a second, of each process; more is 429'

const rateGiven = scimRequestsPerSecond
  .nullable()
  .optional()
  .meta({ description: `${scimRateDescription}; null: the default, 5000` })

const reactivateOnCreate = z.boolean().meta({
  description:
    'A SCIM POST for a userName whose user is inactive takes that user back, as a PUT would; otherwise it is 409 [false]',
})

export const directory = z
  .object({
    id,
    provider,
    name: z.string(),
    scimBaseUrl: z.string().meta({ description: 'What the identity provider is given, beside a token' }),
    eventUrls: z
      .object(
        Object.fromEntries(channelKinds.map((kind) => [kind, z.string()])) as Record<ConfigurableKind, z.ZodString>,
      )
      .meta({ description: 'What it is given for each event channel that is set up' }),
    silentAfterHours: silentAfterHours.meta({ description: 'From when on silence of its provider is an alarm' }),
    scimRequestsPerSecond: scimRequestsPerSecond.meta({ description: scimRateDescription }),
    reactivateOnCreate,
    assertionReuse,
    lastSeenAt: instant.nullable().meta({ description: 'When its provider last called, to the minute' }),
    createdAt: instant,
  })
  .meta({ id: 'Directory' })

const newDirectory = z
  .strictObject({
    id,
    provider,
    name: label.optional(),
    silentAfterHours: silentAfterHours.optional(),
    scimRequestsPerSecond: rateGiven,
    reactivateOnCreate: reactivateOnCreate.optional(),
  })
  .meta({ id: 'NewDirectory' })

const leaving = z
  .object({
    id,
    provider,
    name: z.string(),
    createdAt: instant,
    deletedAt: instant,
    pending: z.int().meta({ description: 'Users still to be decided about, and deliveries still to arrive' }),
  })
  .meta({ id: 'LeavingDirectory' })

const removed = z
  .object({ id: z.string(), deletedAt: instant, users: z.int().meta({ description: 'How many have left' }) })
  .meta({ id: 'RemovedDirectory' })

const token = z
  .object({
    id: z.string(),
    label: z.string().nullable(),
    createdAt: instant,
    expiresAt: instant.nullable(),
    lastUsedAt: instant.nullable(),
  })
  .meta({ id: 'DirectoryToken' })

const issuedToken = z
  .object({ ...token.shape, token: z.string().meta({ description: 'Shown this once' }) })
  .meta({ id: 'IssuedDirectoryToken' })

const unknownAttribute = z
  .object({
    resourceType: z.enum(['User', 'Group']),
    path: z.string().meta({ description: 'As it was first spelled; never a value', example: 'shoeSize' }),
    occurrences: z.int().meta({ description: 'In how many requests' }),
    firstSeenAt: instant.meta({ description: 'To the minute' }),
    lastSeenAt: instant.meta({ description: 'To the minute' }),
  })
  .meta({ id: 'UnknownAttribute' })

const tag = 'Directories'

/** `/directories` and their SCIM tokens. */
export function directoryOperations({
  directories,
  publicUrl,
  unknownAttributes,
}: {
  directories: Directories
  unknownAttributes: UnknownAttributes
  publicUrl: () => string
}): Operation[] {
  return [
    operation({
      method: 'post',
      path: '/directories',
      operationId: 'createDirectory',
      summary: 'Connect an identity provider',
      tag,
      body: newDirectory,
      answers: { 201: directory, 409: problem },
      async handle({ body }) {
        const made = await directories.create({ ...body, name: body.name ?? body.id })
        return reply(201, shown(made), { location: `${publicUrl()}/admin/v1/directories/${made.id}` })
      },
    }),
    operation({
      method: 'get',
      path: '/directories',
      operationId: 'listDirectories',
      summary: 'List directories',
      tag,
      query: pageQuery.extend({
        leaving: z
          .enum(['true', 'false'])
          .optional()
          .meta({ description: 'true: instead, those that were deleted and of which some server has yet to hear' }),
      }),
      answers: { 200: pageOf(z.union([directory, leaving])) },
      async handle({ query: { leaving, limit, cursor } }) {
        const page = { limit, after: cursorKey(cursor) }
        if (leaving === 'true') return listed(await directories.leaving(page), limit, ({ id }) => id)
        return listed((await directories.list(page)).map(shown), limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/directories/{id}',
      operationId: 'getDirectory',
      summary: 'Show a directory',
      tag,
      answers: { 200: directory },
      handle: async ({ params }) => shown(await directories.get(params.id)),
    }),
    operation({
      method: 'patch',
      path: '/directories/{id}',
      operationId: 'changeDirectory',
      summary: 'Change a directory',
      tag,
      body: z
        .strictObject({
          name: label.optional(),
          silentAfterHours: silentAfterHours.optional(),
          scimRequestsPerSecond: rateGiven,
          reactivateOnCreate: reactivateOnCreate.optional(),
          assertionReuse: assertionReuse.optional(),
        })
        .meta({ id: 'DirectoryChange' }),
      answers: { 200: directory },
      handle: async ({ params, body }) => shown(await directories.change(params.id, body)),
    }),
    operation({
      method: 'delete',
      path: '/directories/{id}',
      operationId: 'deleteDirectory',
      summary: 'Delete a directory: everyone in it has left',
      description:
        'From the answer on nobody of it holds anything. Its tokens, rules and issuers are gone at once, its people and groups once every server has heard.',
      tag,
      answers: { 202: removed },
      async handle({ params, req }) {
        const cause = { source: 'admin', actor: actorOf(req), requestId: req.id } as const
        return reply(202, { id: params.id, ...(await directories.remove(params.id, cause)) })
      },
    }),
    operation({
      method: 'post',
      path: '/directories/{id}/tokens',
      operationId: 'issueDirectoryToken',
      summary: 'Issue a SCIM token',
      description:
        'Several may be alive at once: issue the new one, give it to the identity provider, delete the old one.',
      tag,
      body: z.strictObject({ label: label.optional(), expiresAt: futureInstant.optional() }),
      answers: { 201: issuedToken },
      handle: ({ params, body }) => directories.issueToken(params.id, body),
    }),
    operation({
      method: 'get',
      path: '/directories/{id}/tokens',
      operationId: 'listDirectoryTokens',
      summary: 'List the SCIM tokens of a directory',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(token) },
      async handle({ params, query: { limit, cursor } }) {
        const items = await directories.tokens(params.id, { limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'delete',
      path: '/directories/{id}/tokens/{token}',
      operationId: 'deleteDirectoryToken',
      summary: 'Delete a SCIM token',
      tag,
      answers: { 204: undefined },
      handle: ({ params }) => directories.revokeToken(params.id, params.token),
    }),
    operation({
      method: 'get',
      path: '/directories/{id}/unknown-attributes',
      operationId: 'listUnknownAttributes',
      summary: 'List the attributes that no schema knows',
      description:
        'What the identity provider sends and Tenure skips: the names of at most 200, without their values. Attributes under a URN of their own are not among them: those are kept as they are sent.',
      tag,
      query: pageQuery,
      answers: { 200: pageOf(unknownAttribute) },
      async handle({ params, query: { limit, cursor } }) {
        await directories.get(params.id)
        return listed(await unknownAttributes.list(params.id, { limit, after: cursorKey(cursor) }), limit, keyOf)
      },
    }),
  ]

  function shown(record: DirectoryRecord) {
    const eventUrls = Object.fromEntries(channelKinds.map((kind) => [kind, eventUrl(publicUrl(), record.id, kind)]))
    return {
      ...record,
      scimBaseUrl: `${publicUrl()}/directories/${record.id}/scim/v2`,
      eventUrls: eventUrls as Record<ConfigurableKind, string>,
    }
  }
}
