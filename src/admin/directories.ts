import { Router } from 'express'
import { z } from 'zod'
import type { Directories, DirectoryRecord } from '../directory/directories.ts'
import { cursorKey, listed, pageQuery, parse } from '../http/parse.ts'

export const slug = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 of a-z, 0-9 and -, not starting with -')

const newDirectory = z.strictObject({
  id: slug,
  provider: z.enum(['okta', 'entra', 'google', 'ping', 'generic']),
  name: z.string().min(1).max(200).optional(),
})
const newToken = z.strictObject({
  label: z.string().min(1).max(200).optional(),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
})

/** `/directories` and their SCIM tokens. */
export function directoryRoutes({
  directories,
  publicUrl,
}: {
  directories: Directories
  publicUrl: () => string
}): Router {
  const routes = Router()

  routes.post('/directories', async (req, res) => {
    const given = parse(newDirectory, req.body)
    const made = await directories.create({ ...given, name: given.name ?? given.id })
    res.status(201).location(`${publicUrl()}/admin/v1/directories/${made.id}`).json(shown(made))
  })

  routes.get('/directories', async (req, res) => {
    const { limit, cursor } = parse(pageQuery, req.query)
    const items = await directories.list({ limit, after: cursorKey(cursor) })
    res.json(listed(items.map(shown), limit, ({ id }) => id))
  })

  routes.get('/directories/:id', async (req, res) => {
    res.json(shown(await directories.get(req.params.id)))
  })

  routes.post('/directories/:id/tokens', async (req, res) => {
    const { label, expiresAt } = parse(newToken, req.body)
    await directories.get(req.params.id)
    const token = await directories.issueToken(req.params.id, {
      label,
      expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
    })
    res.status(201).json(token)
  })

  routes.get('/directories/:id/tokens', async (req, res) => {
    const { id } = await directories.get(req.params.id)
    res.json({ items: await directories.tokens(id), next: null })
  })

  routes.delete('/directories/:id/tokens/:token', async (req, res) => {
    await directories.revokeToken(req.params.id, req.params.token)
    res.status(204).end()
  })

  return routes

  function shown(directory: DirectoryRecord) {
    return { ...directory, scimBaseUrl: `${publicUrl()}/directories/${directory.id}/scim/v2` }
  }
}
