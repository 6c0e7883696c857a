import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface CollectedSpan {
  readonly name: string
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly failed: boolean
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  /** Of the process that sent it. */
  readonly service: string
}

/** An OpenTelemetry collector that takes traces by OTLP/HTTP, as JSON. */
export interface Collector {
  /** As `OTEL_EXPORTER_OTLP_ENDPOINT` wants it. */
  readonly url: string
  readonly spans: readonly CollectedSpan[]
  /** All that came, as it came. */
  readonly bodies: readonly string[]
  close(): Promise<void>
}

const kinds = ['internal', 'internal', 'server', 'client', 'producer', 'consumer'] as const

export async function startCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = []
  const bodies: string[] = []
  const server = createServer(async (req, res) => {
    const body = await text(req)
    bodies.push(body)
    if (req.method !== 'POST' || req.url !== '/v1/traces' || req.headers['content-type'] !== 'application/json')
      return void res.writeHead(400).end()
    spans.push(...read(JSON.parse(body)))
    res.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface KeyValue {
  key: string
  value: { stringValue?: string; intValue?: number | string; doubleValue?: number; boolValue?: boolean }
}

interface Exported {
  resourceSpans: Array<{
    resource: { attributes: KeyValue[] }
    scopeSpans: Array<{
      spans: Array<{
        name: string
        kind: number
        traceId: string
        spanId: string
        parentSpanId?: string
        status?: { code?: number }
        attributes: KeyValue[]
      }>
    }>
  }>
}

function read({ resourceSpans }: Exported): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ name, kind, traceId, spanId, parentSpanId, status, attributes }) => ({
        name,
        kind: kinds[kind]!,
        traceId,
        spanId,
        parentSpanId: parentSpanId || undefined,
        failed: status?.code === 2,
        attributes: toRecord(attributes),
        service: String(toRecord(resource.attributes)['service.name']),
      })),
    ),
  )
}

function toRecord(attributes: readonly KeyValue[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    attributes.map(({ key, value: { stringValue, intValue, doubleValue, boolValue } }) => [
      key,
      stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue ?? '') : Number(intValue)),
    ]),
  )
}
