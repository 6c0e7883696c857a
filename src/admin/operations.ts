import express, { type RequestHandler, Router } from 'express'
import type { Egress } from '../connectors/egress.ts'
import type { Connectors } from '../connectors/registry.ts'
import type { Database } from '../db/pool.ts'
import type { Servers } from '../delivery/servers.ts'
import type { Directories } from '../directory/directories.ts'
import type { Users } from '../directory/users.ts'
import type { Rules } from '../entitlement/rules.ts'
import { NotFound } from '../errors.ts'
import { problemEdge, requireJson } from '../http/problem.ts'
import type { Grants } from '../ledger/grants.ts'
import type { Hop, Lane } from '../queue/catalog.ts'
import type { Queue } from '../queue/queue.ts'
import { authenticate, operatorsOnly } from './auth.ts'
import { deliveryRoutes } from './deliveries.ts'
import { directoryRoutes } from './directories.ts'
import { eventRoutes } from './events.ts'
import { grantRecordingRoutes, grantRoutes } from './grants.ts'
import { jobRoutes } from './jobs.ts'
import { ruleRoutes } from './rules.ts'
import { serverRoutes } from './servers.ts'
import { statsRoutes } from './stats.ts'
import { userRoutes } from './users.ts'

export interface OperationsParts {
  readonly adminKey: string
  readonly connectors: Connectors
  readonly db: Database
  readonly directories: Directories
  readonly egress: Egress
  readonly grants: Grants
  readonly hint: (hop: Hop, lane: Lane, id: string) => void
  readonly publicUrl: () => string
  readonly queue: Queue
  readonly requireReady: RequestHandler
  readonly rules: Rules
  readonly servers: Servers
  readonly users: Users
}

/** Operators' JSON API under `/admin/v1`; a server's own credentials open `POST /grants` and nothing else. */
export function operationsApi(parts: OperationsParts): Router {
  const api = Router()
  api.use(parts.requireReady)
  api.use(authenticate(parts))
  api.use(express.json({ limit: '1mb' }), requireJson)
  api.use(grantRecordingRoutes(parts))
  api.use(operatorsOnly)
  api.use(directoryRoutes(parts), serverRoutes(parts), ruleRoutes(parts), userRoutes(parts), grantRoutes(parts))
  api.use(deliveryRoutes(parts), jobRoutes(parts), eventRoutes(parts), statsRoutes(parts))
  api.use((req) => {
    throw new NotFound(`There is no ${req.method} ${req.baseUrl}${req.path}`)
  })
  api.use(problemEdge)
  return Router().use('/admin/v1', api)
}
