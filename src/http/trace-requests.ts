import { context, propagation, trace } from '@opentelemetry/api'
import type { Request, RequestHandler } from 'express'
import { markFailed, SpanKind } from '../span.ts'

/**
 * A span for each request, by OpenTelemetry's conventions for HTTP servers: part of the caller's trace if it sends a
 * `traceparent`. Named by the route and never by the path or the query, which may hold what a caller put there.
 */
export const traceRequests: RequestHandler = (req, res, next) => {
  const parent = propagation.extract(context.active(), req.headers)
  const attributes = {
    'http.request.method': req.method,
    'url.scheme': req.protocol,
    'network.protocol.version': req.httpVersion,
  }
  const span = trace.getTracer('tenure').startSpan(req.method, { kind: SpanKind.SERVER, attributes }, parent)
  req.facts.traceId = span.spanContext().traceId
  res.once('close', () => {
    const route = routeOf(req)
    if (route !== undefined) span.updateName(`${req.method} ${route}`).setAttribute('http.route', route)
    span.setAttribute('http.response.status_code', res.statusCode)
    span.setAttributes(idsOf(req))
    if (!res.writableFinished) markFailed(span, 'aborted')
    else if (res.statusCode >= 500) markFailed(span, String(res.statusCode))
    span.end()
  })
  context.with(trace.setSpan(parent, span), next)
}

/** `/directories/{directory}/scim/v2/Users/{id}`; undefined when none matched. Express forgets the pattern of a mount. */
function routeOf(req: Request): string | undefined {
  const path: unknown = req.route?.path
  if (typeof path !== 'string') return undefined
  const base = req.baseUrl.replace(/^\/directories\/[^/]+/, '/directories/{directory}')
  return base + path.replaceAll(/:(\w+)/g, '{$1}')
}

/** The ids of the request's log line. */
function idsOf({ id, facts }: Request): Record<string, string> {
  const ids: Record<string, string> = { 'tenure.request.id': id }
  for (const [name, value] of Object.entries(facts)) {
    const thing = /^(\w+)Id$/.exec(name)?.[1]
    if (thing && thing !== 'trace' && typeof value === 'string') ids[`tenure.${thing}.id`] = value
  }
  return ids
}
