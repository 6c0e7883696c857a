import { type Attributes, context, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'

/**
 * Runs `work` in a span, which is what whatever it starts belongs to. Nothing is recorded unless tracing.ts was started.
 *
 * Attributes hold ids, never names; of an error only its kind is kept, since its message may repeat what somebody sent.
 */
export function inSpan<T>(
  name: string,
  { attributes, kind = SpanKind.INTERNAL }: { attributes: Attributes; kind?: SpanKind },
  work: (span: Span) => Promise<T>,
): Promise<T> {
  return trace.getTracer('tenure').startActiveSpan(name, { kind, attributes }, async (span) => {
    try {
      return await work(span)
    } catch (error) {
      markFailed(span, error instanceof Error ? error.name : 'error')
      throw error
    } finally {
      span.end()
    }
  })
}

/** What `work` starts belongs to no trace yet. */
export function outsideTrace<T>(work: () => T): T {
  return context.with(ROOT_CONTEXT, work)
}

/** `kind` is a word of ours or the name of an error class. */
export function markFailed(span: Span, kind: string): void {
  span.setStatus({ code: SpanStatusCode.ERROR })
  span.setAttribute('error.type', kind)
}

export { SpanKind }
