import { Router } from 'express'
import { z } from 'zod'
import type { Egress } from '../connectors/egress.ts'
import type { Servers } from '../delivery/servers.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'
import { slug } from './directories.ts'

/** RFC 6749 §3.3: printable ASCII without space, quote and backslash. */
export const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,200}$/, 'must be a scope token (RFC 6749 §3.3)')

const newServer = z.strictObject({
  id: slug,
  name: z.string().min(1).max(200),
  resource: z.string().refine((text) => Buffer.byteLength(text) <= 2_000, 'must have at most 2,000 bytes'),
  connectors: z.array(z.looseObject({ type: z.string() })).max(10),
  scopes: z.array(scope).min(1).max(200).optional(),
  tokenLifeSeconds: z.number().int().min(30).max(86_400).optional(),
  tokenFormat: z.enum(['opaque', 'jwt']).optional(),
  concurrency: z.number().int().min(1).max(1_000).optional(),
})

/** `/servers` and the credentials with which they ask. */
export function serverRoutes({
  servers,
  egress,
}: {
  servers: Servers
  egress: Pick<Egress, 'checkConfiguredUrl'>
}): Router {
  const routes = Router()

  routes.post('/servers', async (req, res) => {
    const given = parse(newServer, req.body)
    egress.checkConfiguredUrl(given.resource, 'resource')
    res.status(201).json(await servers.create(given))
  })

  routes.get('/servers', async (req, res) => {
    const { limit, cursor } = parse(pageQuery, req.query)
    const items = await servers.list({ limit, after: cursorKey(cursor) })
    res.json(listed(items, limit, ({ id }) => id))
  })

  routes.get('/servers/:id', async (req, res) => {
    res.json(await servers.get(req.params.id))
  })

  routes.post('/servers/:id/credentials', async (req, res) => {
    res.status(201).json(await servers.issueCredential(req.params.id))
  })

  return routes
}
