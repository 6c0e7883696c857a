import type { Router } from 'express'
import { adminOperations, type OperationsParts, operationsApi } from '../../src/admin/operations.ts'
import type { Json } from './clients.ts'

/** Enough to describe and to mount: nothing here asks anything of them. */
const parts = new Proxy({} as OperationsParts, { get: () => () => {} })

/** As `GET /openapi.json` answers it, without a Tenure: a table of tests is made before anything runs. */
export const document: Json = readDocument()

/** One operation of the document. */
export interface DescribedOperation {
  readonly name: string
  readonly method: string
  readonly path: string
  readonly operation: Json
}

export const described: readonly DescribedOperation[] = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
  Object.entries<Json>(item).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    path,
    operation,
  })),
)

/** What Express really routes: each `METHOD /path/{template}` of its stack. */
export function routed(): string[] {
  return routesOf(operationsApi(parts)).sort()
}

interface Layer {
  readonly route?: { readonly path: string; readonly methods: Record<string, boolean> }
  readonly handle: { readonly stack?: readonly Layer[] }
}

function routesOf(router: Router | { readonly stack?: readonly Layer[] }): string[] {
  return ((router.stack ?? []) as readonly Layer[]).flatMap(({ route, handle }) =>
    route
      ? Object.keys(route.methods).map(
          (method) => `${method.toUpperCase()} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`,
        )
      : routesOf(handle),
  )
}

function readDocument(): Json {
  const self = adminOperations(parts).find(({ operationId }) => operationId === 'getOpenApi')!
  return JSON.parse(JSON.stringify(self.handle({})))
}
