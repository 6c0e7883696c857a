import { z } from 'zod'
import type { ExplainAccess } from '../entitlement/why.ts'
import { instant, type Operation, operation } from '../http/operation.ts'
import { eventKind, eventSource } from './events.ts'

const condition = z
  .object({
    text: z.string().meta({ description: 'A condition of the filter', example: 'groups.display eq "Engineering"' }),
    because: z
      .object({
        attribute: z.string(),
        value: z.unknown().meta({ description: 'What satisfies it; null where it is the want of a value' }),
        via: z
          .array(z.object({ id: z.string(), displayName: z.string() }))
          .optional()
          .meta({ description: 'Of a group: from the group that holds the user itself up to the one that is meant' }),
      })
      .optional(),
  })
  .meta({ id: 'Condition' })

/** What a filter says of one user. */
export const explained = z.object({
  matches: z.boolean(),
  satisfied: z.array(condition),
  missing: z.array(condition).meta({ description: 'Empty when it matches' }),
})

const reason = z
  .object({
    rule: z.string(),
    when: z.string(),
    scopes: z.array(z.string()),
    clients: z.array(z.string()).nullable(),
    ...explained.shape,
  })
  .meta({ id: 'RuleReason' })

const by = z
  .discriminatedUnion('kind', [
    z.object({
      kind: z.literal('event'),
      id: z.string(),
      event: eventKind,
      source: eventSource,
      at: instant.meta({ description: 'By the clock of the source' }),
      detail: z.record(z.string(), z.unknown()),
    }),
    z.object({
      kind: z.literal('policy'),
      at: instant.nullable().meta({ description: 'null: a rule was removed a moment ago' }),
    }),
  ])
  .meta({ description: 'The lifecycle event that brought or took access, or a change of a rule or server' })

const why = z
  .object({
    user: z.object({ id: z.string(), userName: z.string(), directory: z.string() }),
    server: z.string(),
    has: z.boolean().meta({ description: 'As the gate answers at this moment' }),
    access: z.object({ scopes: z.array(z.string()), clients: z.array(z.string()) }),
    blockedBy: z
      .enum(['inactive', 'deleted', 'held', 'directory_deleted', 'server_deleted'])
      .nullable()
      .meta({ description: 'What denies everything, whatever the rules say' }),
    since: instant.nullable().meta({ description: 'Since when it is so; null when there never was access' }),
    by: by.nullable(),
    rules: z.array(reason).meta({ description: 'Every rule that gives access' }),
    nearest: reason.nullable().meta({ description: 'Without access: the rule that lacks the fewest conditions' }),
  })
  .meta({ id: 'Why' })

/** Why somebody has access, or has not. */
export function whyOperation({ explainAccess }: { explainAccess: ExplainAccess }): Operation {
  return operation({
    method: 'get',
    path: '/users/{id}/why',
    operationId: 'explainAccess',
    summary: 'Explain why a user has access at a server, or has not',
    description:
      'Which rules match and what satisfies each condition; else what is missing; since when, and what brought it.',
    tag: 'Users',
    query: z.strictObject({ server: z.string() }),
    answers: { 200: why },
    handle: ({ params, query }) => explainAccess(params.id, query.server),
  })
}
