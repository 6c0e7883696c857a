import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { type Context, type ContextManager, context, diag, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Tracing } from './config.ts'
import type { Logger } from './log.ts'

/** So long may the collector keep a stop waiting. */
const exportTimeoutMs = 5_000

/**
 * Sends spans to an OTLP collector over HTTP, as JSON. Imported only where tracing is configured: everywhere else the
 * API alone is loaded, whose spans are nothing. The API knows one provider, so this is for the whole process.
 *
 * Of what a caller may send along only `traceparent` and `tracestate` are taken over: baggage could hold anything.
 *
 * @returns sends what is left and stops
 */
export function startTracing({ url, serviceName, share }: Tracing, version: string, log: Logger): () => Promise<void> {
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': serviceName,
        'service.version': version,
        'service.instance.id': randomUUID(),
      }),
    ),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) }),
    // As with the database, the operator says where it is: the guard of outbound calls is not asked.
    spanProcessors: [
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url, timeoutMillis: exportTimeoutMs }) }),
    ],
  })
  const say = (reason: string) => log.warn({ reason }, 'tracing.failed')
  const quiet = () => {}
  diag.setLogger({ error: say, warn: say, info: quiet, debug: quiet, verbose: quiet })
  const exportFailed = (error: unknown) => log.warn({ error }, 'tracing.export_failed')
  setGlobalErrorHandler(exportFailed)
  context.setGlobalContextManager(new AsyncContextManager())
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  return async () => {
    for (const api of [trace, propagation, context, diag]) api.disable()
    await provider.shutdown().catch(exportFailed)
  }
}

/** The context follows what a function awaits or starts. The SDK brings one for browsers only. */
class AsyncContextManager implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>()

  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    work: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => work.apply(thisArg, args))
  }

  bind<T>(active: Context, target: T): T {
    if (typeof target !== 'function') return target
    return ((...args: unknown[]) => this.with(active, () => target(...args))) as T
  }

  enable(): this {
    return this
  }

  disable(): this {
    this.#storage.disable()
    return this
  }
}
