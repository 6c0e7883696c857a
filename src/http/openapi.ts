import { STATUS_CODES } from 'node:http'
import { z } from 'zod'
import {
  createDocument,
  type oas31,
  type ZodOpenApiOperationObject,
  type ZodOpenApiOverrideContext,
  type ZodOpenApiResponseObject,
} from 'zod-openapi'
import type { Operation } from './operation.ts'
import { problem } from './problem.ts'

export interface Description {
  readonly title: string
  readonly version: string
  readonly description: string
  /** Where the operations are served, as a path from the root. */
  readonly basePath: string
  /** In the order of the document: what each tag of the operations is about. */
  readonly tags: Readonly<Record<string, string>>
  readonly securitySchemes: Readonly<Record<string, oas31.SecuritySchemeObject>>
  /** Opens whatever does not say otherwise. */
  readonly security: string
}

/** The operations as an OpenAPI 3.1 document: what is served, since the routes follow from the same list. */
export function describe(operations: readonly Operation[], about: Description): oas31.OpenAPIObject {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {}
  for (const operation of operations) {
    paths[operation.path] = { ...paths[operation.path], [operation.method]: describeOperation(operation) }
  }
  return createDocument(
    {
      openapi: '3.1.1',
      info: { title: about.title, version: about.version, description: about.description },
      servers: [{ url: about.basePath }],
      tags: Object.entries(about.tags).map(([name, description]) => ({ name, description })),
      security: [{ [about.security]: [] }],
      paths,
      components: { securitySchemes: { ...about.securitySchemes } },
    },
    { override: quieten },
  ) as oas31.OpenAPIObject
}

/** What zod adds for a validator and a reader has no use for: how a format is spelt, and how large a number can be at all. */
function quieten({ jsonSchema }: ZodOpenApiOverrideContext): void {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
}

function describeOperation(operation: Operation): ZodOpenApiOperationObject {
  const { operationId, summary, description, tag, open, security, query, body } = operation
  const params = operation.params ?? paramsOf(operation.path)
  return {
    operationId,
    summary,
    ...(description === undefined ? {} : { description }),
    tags: [tag],
    ...(open ? { security: [] } : security ? { security: security.map((scheme) => ({ [scheme]: [] })) } : {}),
    requestParams: { ...(params ? { path: params } : {}), ...(query ? { query } : {}) },
    ...(body
      ? { requestBody: { required: !body.safeParse({}).success, content: { 'application/json': { schema: body } } } }
      : {}),
    responses: answersOf(operation, params !== undefined),
  }
}

function paramsOf(path: string): z.ZodObject | undefined {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  return names.length === 0 ? undefined : z.object(Object.fromEntries(names.map((name) => [name, z.string()])))
}

/** What it declares, and the refusals that any operation of its form can meet. */
function answersOf(
  operation: Operation,
  hasParams: boolean,
): Record<`${1 | 2 | 3 | 4 | 5}${string}`, ZodOpenApiResponseObject> {
  const takesBody = operation.method !== 'get'
  const shared = [
    ...(hasParams || takesBody ? [400] : []),
    ...(operation.open ? [] : [401, 503]),
    ...(hasParams ? [404] : []),
    ...(takesBody ? [413, 415] : []),
    422,
  ]
  const answers: Record<number, ZodOpenApiResponseObject> = Object.fromEntries(
    shared.map((status) => [status, refusals[status]!]),
  )
  for (const [status, schema] of Object.entries(operation.answers)) {
    answers[Number(status)] = schema === problem ? refusals[Number(status)]! : success(Number(status), schema)
  }
  return answers
}

function success(status: number, schema: z.ZodType | undefined): ZodOpenApiResponseObject {
  return {
    description: STATUS_CODES[status] ?? '',
    ...(schema ? { content: { 'application/json': { schema } } } : {}),
  }
}

/** Each way to be refused, the same for every operation. */
const refusals: Readonly<Record<number, ZodOpenApiResponseObject>> = Object.fromEntries(
  Object.entries({
    400: { id: 'BadRequest', title: 'Bad Request', description: 'The path or the body cannot be read' },
    401: {
      id: 'Unauthorized',
      title: 'Unauthorized',
      description: 'The credentials are missing, or open nothing here',
    },
    403: { id: 'Forbidden', title: 'Forbidden', description: 'The caller may ask, but this may not be' },
    404: { id: 'NotFound', title: 'Not Found', description: 'What the request names does not exist' },
    409: { id: 'Conflict', title: 'Conflict', description: 'The request contradicts what is there' },
    413: { id: 'ContentTooLarge', title: 'Content Too Large', description: 'The body is too large' },
    415: { id: 'UnsupportedMediaType', title: 'Unsupported Media Type', description: 'The body is not JSON' },
    422: {
      id: 'UnprocessableContent',
      title: 'Unprocessable Content',
      description: 'Something in the request cannot be meant: `errors` names each field or parameter',
      errors: [{ field: 'limit', message: 'Too big: expected number to be <=1000' }],
    },
    503: {
      id: 'ServiceUnavailable',
      title: 'Service Unavailable',
      description: 'A part that this needs does not answer; try again later',
    },
  }).map(([status, { id, title, description, ...more }]) => [
    status,
    {
      id,
      description,
      content: {
        'application/problem+json': {
          schema: problem,
          example: { type: 'about:blank', title, status: Number(status), ...more },
        },
      },
    },
  ]),
)
