import { Router } from 'express'
import { z } from 'zod'
import type { Rules } from '../entitlement/rules.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'
import { slug } from './directories.ts'
import { scope } from './servers.ts'

const newRule = z.strictObject({
  id: slug,
  directory: z.string().optional(),
  server: z.string(),
  when: z.string().min(1),
  scopes: z.array(scope).min(1).max(200),
  clients: z.array(z.string().min(1).max(2_048)).min(1).max(200).optional(),
})
const ruleQuery = pageQuery.extend({ directory: z.string().optional(), server: z.string().optional() })

/** `/rules`: who gets what. */
export function ruleRoutes({ rules }: { rules: Rules }): Router {
  const routes = Router()

  routes.put('/rules/:id', async (req, res) => {
    const { rule, isNew } = await rules.put(parse(newRule, { ...req.body, id: req.params.id }))
    res.status(isNew ? 201 : 200).json(rule)
  })

  routes.get('/rules', async (req, res) => {
    const { limit, cursor, ...query } = parse(ruleQuery, req.query)
    const items = await rules.list({ ...query, limit, after: cursorKey(cursor) })
    res.json(listed(items, limit, ({ id }) => id))
  })

  routes.get('/rules/:id', async (req, res) => {
    res.json(await rules.get(req.params.id))
  })

  routes.delete('/rules/:id', async (req, res) => {
    await rules.remove(req.params.id)
    res.status(204).end()
  })

  return routes
}
