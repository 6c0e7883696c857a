import { z } from 'zod'
import { describe } from '../http/openapi.ts'
import { type Operation, operation } from '../http/operation.ts'
import { version } from '../version.ts'

const about = {
  title: 'Tenure admin API',
  version,
  description: `Everything an operator does: connect identity providers and MCP servers, say who gets what, see what happened, cut
somebody off.

Lists come in pages: \`{items, next}\`, with \`?limit=\` and, for the page after, \`?cursor=\` as \`next\` has it. Times are RFC 3339,
in UTC. Errors are problem details (RFC 9457). A field or parameter that is not described here is refused, never ignored.`,
  basePath: '/admin/v1',
  tags: {
    Directories: 'One connection to an identity provider each, with its own SCIM tokens, people, groups and rules.',
    Servers: 'The MCP servers that people reach, and how each of them is told.',
    Rules: 'Who gets what: a SCIM filter over the users of a directory, a server, and scopes there.',
    Users: 'What one person may reach, how it came about, and the emergency cut.',
    'Event channels': 'How a directory is told of its people beside SCIM: sooner, and to end access only.',
    Issuers: 'Whose ID-JAGs are believed for the users of a directory.',
    'MCP clients': 'Who comes for tokens, and how each proves who it is.',
    Grants: 'Outstanding authorizations: a token that somebody holds for one MCP client at one server.',
    Deliveries: 'What each server has heard of each person.',
    Jobs: 'Work that failed, and having it done again.',
    Health: 'What is wrong or behind, here or at a server.',
    'Signing keys': 'With which tokens that are JWTs are signed.',
    Keys: 'Named admin keys: whatever one does is recorded under its name.',
    Audit: 'What operators did.',
    Description: 'This document.',
  },
  securitySchemes: {
    adminKey: { type: 'http', scheme: 'bearer', description: 'An admin key' },
    serverCredentials: {
      type: 'http',
      scheme: 'basic',
      description: 'Credentials of a server, which records grants for itself',
    },
  },
  security: 'adminKey',
} as const

/** Describes `operations`, and itself. */
export function documentOperation(operations: readonly Operation[]): Operation {
  const self = operation({
    method: 'get',
    path: '/openapi.json',
    operationId: 'getOpenApi',
    summary: 'Show this document',
    tag: 'Description',
    open: true,
    answers: { 200: z.looseObject({ openapi: z.string() }) },
    handle: () => ({ ...document }),
  })
  const document = describe([...operations, self], about)
  return self
}
