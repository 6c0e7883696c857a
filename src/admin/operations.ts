import express, { type RequestHandler, Router } from 'express'
import type { Egress } from '../connectors/egress.ts'
import type { Connectors } from '../connectors/registry.ts'
import type { Database } from '../db/pool.ts'
import type { Servers } from '../delivery/servers.ts'
import type { Channels } from '../directory/channels.ts'
import type { Directories } from '../directory/directories.ts'
import type { Intake } from '../directory/intake.ts'
import type { UnknownAttributes } from '../directory/unknown-attributes.ts'
import type { Users } from '../directory/users.ts'
import type { Impact } from '../entitlement/impact.ts'
import type { Rules } from '../entitlement/rules.ts'
import type { ExplainAccess } from '../entitlement/why.ts'
import { NotFound } from '../errors.ts'
import { mount, type Operation } from '../http/operation.ts'
import { problemEdge, requireJson } from '../http/problem.ts'
import type { Grants } from '../ledger/grants.ts'
import type { AdminKeys } from '../operators/keys.ts'
import type { Trail } from '../operators/trail.ts'
import type { Hop, Lane } from '../queue/catalog.ts'
import type { Queue } from '../queue/queue.ts'
import type { Clients } from '../trust/clients.ts'
import type { Issuers } from '../trust/issuers.ts'
import type { SigningKeys } from '../trust/signing-keys.ts'
import { alarmOperations } from './alarms.ts'
import { auditOperations, recordActions } from './audit.ts'
import { authenticate, operatorsOnly } from './auth.ts'
import { channelOperations } from './channels.ts'
import { clientOperations } from './clients.ts'
import { deliveryOperations } from './deliveries.ts'
import { directoryOperations } from './directories.ts'
import { docsPage } from './docs.ts'
import { documentOperation } from './document.ts'
import { entitlementOperations } from './entitlements.ts'
import { eventOperations } from './events.ts'
import { grantOperations } from './grants.ts'
import { issuerOperations } from './issuers.ts'
import { jobOperations } from './jobs.ts'
import { keyOperations } from './keys.ts'
import { ruleOperations } from './rules.ts'
import { serverOperations } from './servers.ts'
import { signingKeyOperations } from './signing-keys.ts'
import { statsOperations } from './stats.ts'
import { userOperations } from './users.ts'

export interface OperationsParts {
  readonly adminKeys: AdminKeys
  readonly channels: Channels
  readonly clients: Clients
  readonly connectors: Connectors
  readonly db: Database
  readonly directories: Directories
  readonly egress: Egress
  readonly explainAccess: ExplainAccess
  readonly grants: Grants
  readonly hint: (hop: Hop, lane: Lane, id: string) => void
  readonly impact: Impact
  readonly intake: Pick<Intake, 'joinWaiting'>
  readonly issuers: Issuers
  readonly publicUrl: () => string
  readonly queue: Queue
  readonly requireReady: RequestHandler
  readonly rules: Rules
  /** `kid` of the key that seals. */
  readonly sealedUnder: string
  readonly servers: Servers
  readonly signingKeys: SigningKeys
  readonly trail: Trail
  readonly unknownAttributes: UnknownAttributes
  readonly users: Users
}

/** Every operation, as it is described and served. */
export function adminOperations(parts: OperationsParts): Operation[] {
  const operations = [
    ...directoryOperations(parts),
    ...channelOperations(parts),
    ...issuerOperations(parts),
    ...serverOperations(parts),
    ...clientOperations(parts),
    ...ruleOperations(parts),
    ...userOperations(parts),
    ...entitlementOperations(parts),
    ...eventOperations(parts),
    ...grantOperations(parts),
    ...deliveryOperations(parts),
    ...jobOperations(parts),
    ...alarmOperations(parts),
    ...statsOperations(parts),
    ...signingKeyOperations(parts),
    ...keyOperations(parts),
    ...auditOperations(parts),
  ]
  return [...operations, documentOperation(operations)]
}

/** Operators' JSON API under `/admin/v1`: who may call what is as each operation declares it. */
export function operationsApi(parts: OperationsParts): Router {
  const { anybody, servers, operators } = byCaller(adminOperations(parts))
  const api = Router()
  mount(api, anybody)
  api.use('/docs', docsPage())
  api.use(noStore)
  api.use(parts.requireReady)
  api.use(authenticate(parts))
  api.use(express.json({ limit: '1mb' }), requireJson)
  mount(api, servers, { before: recordActions(parts) })
  api.use(operatorsOnly)
  mount(api, operators, { before: recordActions(parts) })
  api.use((req) => {
    throw new NotFound(`There is no ${req.method} ${req.baseUrl}${req.path}`)
  })
  api.use(problemEdge)
  return Router().use('/admin/v1', api)
}

function byCaller(operations: readonly Operation[]) {
  const anybody = operations.filter(({ open }) => open)
  const servers = operations.filter(({ security }) => security?.includes('serverCredentials'))
  return { anybody, servers, operators: operations.filter((one) => !anybody.includes(one) && !servers.includes(one)) }
}

/** Some answers carry a secret, this once; none is for a cache to keep. */
const noStore: RequestHandler = (_req, res, next) => {
  res.set('Cache-Control', 'no-store')
  next()
}
