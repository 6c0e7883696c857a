import { Router } from 'express'
import { NotFound } from '../errors.ts'
import { groupResourceType } from '../schemas/group.ts'
import type { Attribute, ResourceType, Schema } from '../schemas/schema.ts'
import { userResourceType } from '../schemas/user.ts'
import { cursorTimeoutSeconds } from './cursor.ts'
import type { Dialect } from './dialects/normalise.ts'
import { publishedSchema } from './dialects/published.ts'
import { ScimError } from './errors.ts'
import type { Json } from './json.ts'
import { largestBodyBytes, mostOperations } from './limits.ts'
import { defaultPageSize, largestPage, listResponse } from './list.ts'
import { sendScim } from './representation.ts'
import { ownerOf } from './request.ts'

const resourceTypes: readonly ResourceType[] = [userResourceType, groupResourceType]
const schemas: readonly Schema[] = resourceTypes.flatMap(({ schema, extensions }) => [
  schema,
  ...extensions.map((extension) => extension.schema),
])

/** Discovery (RFC 7644 §4), from the schemas that validate. What is not there yet is not advertised. */
export function discoveryRoutes({ baseOf }: { baseOf: (directoryId: string) => string }): Router {
  const routes = Router()

  // RFC 7644 §4: nobody may take the answer for a filtered one.
  routes.use(['/ServiceProviderConfig', '/ResourceTypes', '/Schemas'], (req, _res, next) => {
    if (req.query.filter !== undefined) throw new ScimError(403, undefined, 'What is supported cannot be filtered')
    next()
  })

  routes.get('/ServiceProviderConfig', (req, res) => {
    sendScim(res, {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
      patch: { supported: true },
      bulk: { supported: true, maxOperations: mostOperations, maxPayloadSize: largestBodyBytes },
      filter: { supported: true, maxResults: largestPage },
      changePassword: { supported: false },
      sort: { supported: true },
      etag: { supported: true },
      pagination: {
        cursor: true,
        index: true,
        defaultPaginationMethod: 'index',
        defaultPageSize,
        maxPageSize: largestPage,
        cursorTimeout: cursorTimeoutSeconds,
      },
      authenticationSchemes: [
        { type: 'oauthbearertoken', name: 'Bearer', description: 'A token of the directory', primary: true },
      ],
      meta: {
        resourceType: 'ServiceProviderConfig',
        location: `${baseOf(ownerOf(req).directoryId)}/ServiceProviderConfig`,
      },
    })
  })

  serve('/ResourceTypes', resourceTypes, ({ name }) => name, showResourceType)
  serve('/Schemas', schemas, ({ id }) => id, showSchema)
  return routes

  function serve<T>(
    path: string,
    all: readonly T[],
    idOf: (item: T) => string,
    show: (item: T, base: string, dialect: Dialect) => Json,
  ): void {
    routes.get(path, (req, res) => {
      const { directoryId, provider } = ownerOf(req)
      sendScim(
        res,
        listResponse(
          all.map((item) => show(item, baseOf(directoryId), provider)),
          all.length,
          1,
        ),
      )
    })
    routes.get(`${path}/:id`, (req, res) => {
      const found = all.find((item) => idOf(item).toLowerCase() === req.params.id.toLowerCase())
      if (!found) throw new NotFound('There is no such resource')
      const { directoryId, provider } = ownerOf(req)
      sendScim(res, show(found, baseOf(directoryId), provider))
    })
  }
}

function showResourceType({ name, endpoint, schema, extensions }: ResourceType, base: string): Json {
  return {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:ResourceType'],
    id: name,
    name,
    endpoint,
    schema: schema.id,
    schemaExtensions: extensions.map((extension) => ({ schema: extension.schema.id, required: extension.required })),
    meta: { resourceType: 'ResourceType', location: `${base}/ResourceTypes/${name}` },
  }
}

function showSchema(schema: Schema, base: string, dialect: Dialect): Json {
  const { id, name, description, attributes } = publishedSchema(dialect, schema)
  return {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:Schema'],
    id,
    name,
    description,
    attributes: attributes.map(showAttribute),
    meta: { resourceType: 'Schema', location: `${base}/Schemas/${id}` },
  }
}

function showAttribute({ subAttributes, ...attribute }: Attribute): Json {
  return { ...attribute, ...(subAttributes ? { subAttributes: subAttributes.map(showAttribute) } : {}) }
}
