import { Conflict, NotFound } from '../../errors.ts'
import { isResourceId } from '../../ids.ts'
import { ScimError, type ScimErrorBody, scimErrorBody } from '../errors.ts'
import type { Json } from '../json.ts'
import type { Write } from '../write.ts'
import { type BulkOperation, nameOf, readOperation } from './operation.ts'
import { referenceIn, referencesOf, resolveReferences, withoutManager } from './references.ts'
import type { BulkRequest } from './request.ts'

/** What became of a resource that an operation has written. */
export interface Written {
  readonly id: string
  readonly location: string
  readonly version: string
}

/** The writes that single requests make too, and how their refusals are said. */
export interface BulkTarget {
  create(resourceType: 'User' | 'Group', write: Write): Promise<Written>
  replace(resourceType: 'User' | 'Group', write: Write, id: string): Promise<Written>
  patch(resourceType: 'User' | 'Group', write: Write, id: string): Promise<Written>
  remove(resourceType: 'User' | 'Group', write: Write, id: string): Promise<void>
  locationOf(resourceType: 'User' | 'Group', id: string): string
  refusalOf(error: unknown): ScimError
}

/** One of a BulkResponse's Operations (RFC 7644 §3.7.3). */
export interface OperationResult {
  readonly method?: string
  readonly bulkId?: string
  readonly location?: string
  readonly version?: string
  readonly status: string
  readonly response?: ScimErrorBody
}

interface Step {
  readonly name: { method?: string; bulkId?: string }
  readonly operation: BulkOperation | ScimError
  state: 'waiting' | 'running' | 'done'
  result?: OperationResult
  /** Of a POST that succeeded. */
  id?: string
  /** POSTs that were made without their manager, who is the user of this one. */
  readonly managed: Array<{ step: Step; manager: Json }>
}

/**
 * Carries out a bulk request, in order, except that an operation comes after those whose ids it needs. Each is a
 * transaction of its own. A reference to a resource that was not made is 409, and so is a circle of groups: a group
 * cannot contain itself, whatever the order. A circle of managers is made.
 *
 * @param isAbandoned whether nobody waits for the answer any more: what is left is left undone
 * @returns the results of what was processed, in the order of the request
 */
export async function runBulk(
  { operations, failOnErrors }: BulkRequest,
  write: Write,
  target: BulkTarget,
  isAbandoned: () => boolean,
): Promise<OperationResult[]> {
  const steps = operations.map(toStep)
  const byBulkId = index(steps)
  let failures = 0
  for (const step of steps) await settle(step)
  return steps.flatMap(({ result }) => (result ? [result] : []))

  function isStopped(): boolean {
    return (failOnErrors !== undefined && failures >= failOnErrors) || isAbandoned()
  }

  async function settle(step: Step): Promise<void> {
    if (step.state !== 'waiting' || isStopped()) return
    step.state = 'running'
    for (const bulkId of step.operation instanceof ScimError ? [] : step.operation.references) {
      const needed = byBulkId.get(bulkId)
      if (needed) await settle(needed)
    }
    if (!isStopped()) await attempt(step)
    step.state = 'done'
    for (const { step: managed, manager } of step.managed) await addManager(managed, manager)
  }

  async function attempt(step: Step): Promise<void> {
    try {
      step.result = await carryOut(step)
    } catch (error) {
      fail(step, error)
    }
  }

  async function carryOut(step: Step): Promise<OperationResult> {
    const { operation, name } = step
    if (operation instanceof ScimError) throw operation
    const { method, resourceType, version } = operation
    if (method === 'POST') {
      const written = await create(step, operation)
      step.id = written.id
      return { ...name, ...locate(written), status: '201' }
    }
    const id = idOf(operation.target!)
    const given = { ...write, body: resolveReferences(operation.data, resolve), ifMatch: version }
    if (method === 'DELETE') {
      await target.remove(resourceType, given, id)
      return { ...name, location: target.locationOf(resourceType, id), status: '204' }
    }
    const written = await target[method === 'PUT' ? 'replace' : 'patch'](resourceType, given, id)
    return { ...name, ...locate(written), status: '200' }
  }

  async function create(step: Step, { resourceType, data = {} }: BulkOperation): Promise<Written> {
    const { rest, manager } = resourceType === 'User' ? withoutManager(data) : { rest: data, manager: {} }
    const running = referencesOf(manager)
      .map((bulkId) => byBulkId.get(bulkId))
      .find((needed) => needed?.state === 'running')
    const body = resolveReferences(running ? rest : data, resolve)
    const written = await target.create(resourceType, { ...write, body, ifMatch: undefined })
    running?.managed.push({ step, manager })
    return written
  }

  /** In a circle: the manager exists now, or could not be made, and then the user stays without. */
  async function addManager(step: Step, manager: Json): Promise<void> {
    try {
      const given = { ...write, body: resolveReferences(manager, resolve), ifMatch: undefined }
      const { version } = await target.patch('User', given, step.id!)
      step.result = { ...step.result!, version }
    } catch (error) {
      fail(step, error)
    }
  }

  function resolve(bulkId: string): string {
    const needed = byBulkId.get(bulkId)
    if (!needed) throw new Conflict(`bulkId:${bulkId} is of no POST in this request`)
    if (needed.state === 'running') throw new Conflict(`bulkId:${bulkId} refers back to this operation, in a circle`)
    if (needed.id === undefined) throw new Conflict(`bulkId:${bulkId} could not be created`)
    return needed.id
  }

  function idOf(target: string): string {
    const reference = referenceIn(target)
    const id = reference === undefined ? target : resolve(reference)
    if (!isResourceId(id)) throw new NotFound('There is no resource with this id')
    return id
  }

  function fail(step: Step, error: unknown): void {
    failures++
    const refusal = target.refusalOf(error)
    const location = locationOf(step)
    step.result = {
      ...step.name,
      ...(location && { location }),
      status: String(refusal.status),
      response: scimErrorBody(refusal),
    }
  }

  /** Of what exists, or was meant to; a POST that failed has none. */
  function locationOf({ operation, id }: Step): string | undefined {
    if (operation instanceof ScimError) return undefined
    const { resourceType, target: named } = operation
    const reference = named === undefined ? undefined : referenceIn(named)
    const meant = reference === undefined ? (named ?? id) : byBulkId.get(reference)?.id
    return meant === undefined ? undefined : target.locationOf(resourceType, meant)
  }
}

function toStep(raw: unknown): Step {
  return { name: nameOf(raw), operation: readOrRefuse(raw), state: 'waiting', managed: [] }
}

function readOrRefuse(raw: unknown): BulkOperation | ScimError {
  try {
    return readOperation(raw)
  } catch (error) {
    if (error instanceof ScimError) return error
    throw error
  }
}

/** The POSTs by their `bulkId`. @throws ScimError 400 when two share one, for then no reference to it is clear */
function index(steps: readonly Step[]): Map<string, Step> {
  const byBulkId = new Map<string, Step>()
  for (const step of steps) {
    if (step.operation instanceof ScimError || step.operation.method !== 'POST') continue
    const bulkId = step.operation.bulkId!
    if (byBulkId.has(bulkId)) throw new ScimError(400, 'invalidValue', `bulkId "${bulkId}" is used more than once`)
    byBulkId.set(bulkId, step)
  }
  return byBulkId
}

function locate({ location, version }: Written): Pick<OperationResult, 'location' | 'version'> {
  return { location, version }
}
