import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Handler } from './handler.ts'
import { sendJson } from './responses.ts'
import { type Settings, wellKnown } from './settings.ts'

/**
 * Protected resource metadata (RFC 9728), at the path that is made of the resource's and at the root: clients try them in
 * this order. Everything else is passed on.
 */
export function metadataHandler({ issuer, resource, metadataUrl, scopesSupported }: Settings): Handler {
  const paths = new Set([metadataUrl.pathname, wellKnown])
  const document = {
    resource,
    // One, since clients take the first and look no further.
    authorization_servers: [issuer],
    ...(scopesSupported.length > 0 ? { scopes_supported: scopesSupported } : {}),
    bearer_methods_supported: ['header'],
  }
  return (req, res, next) => {
    if (paths.has(pathOf(req))) answer(req.method, res)
    else next()
  }

  function answer(method: string | undefined, res: ServerResponse): void {
    res.setHeader('Access-Control-Allow-Origin', '*')
    if (method === 'GET' || method === 'HEAD') sendJson(res, 200, document)
    else if (method === 'OPTIONS') preflight(res)
    else {
      res.setHeader('Allow', 'GET, HEAD, OPTIONS')
      sendJson(res, 405, { error: 'invalid_request', error_description: 'Metadata is read with GET' })
    }
  }
}

/** As it came, wherever the handler is mounted. */
function pathOf(req: IncomingMessage & { originalUrl?: string }): string {
  return (req.originalUrl ?? req.url ?? '').split('?', 1)[0]!
}

/** A browser asks first, since MCP clients send a header of their own. */
function preflight(res: ServerResponse): void {
  res.setHeader('Access-Control-Allow-Methods', 'GET')
  res.setHeader('Access-Control-Allow-Headers', '*')
  res.statusCode = 204
  res.end()
}
