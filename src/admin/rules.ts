import { z } from 'zod'
import type { Database } from '../db/pool.ts'
import { findUser } from '../directory/find-user.ts'
import { explainUser } from '../entitlement/explanation.ts'
import type { Impact } from '../entitlement/impact.ts'
import type { Rules } from '../entitlement/rules.ts'
import { instant, type Operation, operation, pageOf, reply } from '../http/operation.ts'
import { cursorKey, listed, pageQuery } from '../http/parse.ts'
import { problem } from '../http/problem.ts'
import { scope, slug } from './fields.ts'
import { userReference } from './grants.ts'
import { explained } from './why.ts'

const id = slug.meta({ example: 'engineers' })

const rule = z
  .object({
    id,
    directory: z.string(),
    server: z.string(),
    when: z.string(),
    scopes: z.array(z.string()),
    clients: z.array(z.string()).nullable().meta({ description: 'null: through any MCP client' }),
    createdAt: instant,
    changedAt: instant,
  })
  .meta({ id: 'Rule' })

const newRule = z
  .strictObject({
    directory: z
      .string()
      .optional()
      .meta({ description: 'May be left out while there is exactly one', example: 'acme' }),
    server: z.string().meta({ example: 'linear' }),
    when: z.string().min(1).meta({
      description: 'A SCIM filter over the users of the directory',
      example: 'groups.display eq "Engineering"',
    }),
    scopes: z.array(scope).min(1).max(200),
    clients: z
      .array(z.string().min(1).max(2_048))
      .min(1)
      .max(200)
      .optional()
      .meta({ description: 'Only through these MCP clients; left out: through any', example: ['claude'] }),
  })
  .meta({ id: 'NewRule' })

const effect = {
  touched: z.int().nullable().meta({
    description:
      'How many active users have other access after the change than before; null where that takes longer than the answer may. A dry run takes its time',
  }),
}
const changedRule = z.object({ ...rule.shape, ...effect }).meta({ id: 'ChangedRule' })

const ruleTest = z
  .strictObject({
    directory: z.string().optional().meta({ description: 'May be left out while there is exactly one' }),
    when: newRule.shape.when,
    user: userReference.optional().meta({ description: 'Somebody to explain it for' }),
  })
  .meta({ id: 'RuleTest' })

const ruleTestResult = z
  .object({
    matches: z.int().meta({ description: 'Active users that match' }),
    of: z.int().meta({ description: 'Active users' }),
    user: z.object({ id: z.string(), userName: z.string(), ...explained.shape }).optional(),
  })
  .meta({ id: 'RuleTestResult' })

/** A rule is in force before it is counted whom it touches; nobody should have to wait long to be told so. */
const countingMs = 5_000

/** `/rules`: who gets what, and what a rule would do. */
export function ruleOperations({ db, impact, rules }: { db: Database; impact: Impact; rules: Rules }): Operation[] {
  return [
    operation({
      method: 'put',
      path: '/rules/{id}',
      operationId: 'putRule',
      summary: 'Create or replace a rule',
      tag: 'Rules',
      description:
        'With `dryRun` everything is checked and nothing changed: the answer is the rule as it would be, and whom it would touch.',
      params: z.strictObject({ id }),
      query: z.strictObject({ dryRun: z.enum(['true', 'false']).optional() }),
      body: newRule,
      answers: { 200: changedRule, 201: changedRule, 409: problem },
      async handle({ params, query, body }) {
        const dryRun = query.dryRun === 'true'
        const { rule, isNew, change } = await rules.put({ ...body, id: params.id }, { dryRun })
        const touched = await impact.touchedBy(change, dryRun ? {} : { withinMs: countingMs })
        return reply(isNew && !dryRun ? 201 : 200, { ...rule, touched })
      },
    }),
    operation({
      method: 'post',
      path: '/rules/test',
      operationId: 'testRule',
      summary: 'Try a filter on the users of a directory',
      description:
        'How many match; and for one of them, active or not, which conditions are satisfied and which are missing.',
      tag: 'Rules',
      body: ruleTest,
      answers: { 200: ruleTestResult, 404: problem },
      async handle({ body }) {
        const { directoryId, filter } = await rules.read(body)
        const user = body.user && (await explainUser(db, await findUser(db, directoryId, body.user), filter))
        return { ...(await impact.matching(directoryId, filter)), ...(user ? { user } : {}) }
      },
    }),
    operation({
      method: 'get',
      path: '/rules',
      operationId: 'listRules',
      summary: 'List rules',
      tag: 'Rules',
      query: pageQuery.extend({ directory: z.string().optional(), server: z.string().optional() }),
      answers: { 200: pageOf(rule) },
      async handle({ query: { limit, cursor, ...query } }) {
        const items = await rules.list({ ...query, limit, after: cursorKey(cursor) })
        return listed(items, limit, ({ id }) => id)
      },
    }),
    operation({
      method: 'get',
      path: '/rules/{id}',
      operationId: 'getRule',
      summary: 'Show a rule',
      tag: 'Rules',
      answers: { 200: rule },
      handle: ({ params }) => rules.get(params.id),
    }),
    operation({
      method: 'delete',
      path: '/rules/{id}',
      operationId: 'deleteRule',
      summary: 'Delete a rule',
      tag: 'Rules',
      answers: { 204: undefined },
      handle: ({ params }) => rules.remove(params.id),
    }),
  ]
}
