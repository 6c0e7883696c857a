import { type Span, SpanKind, type Telemetry } from 'bullmq'
import { BullMQOtel } from 'bullmq-otel'

/**
 * Carries a trace from whoever gives a hint to the job. Kept are BullMQ's spans of adding and processing; those of its
 * upkeep (locks, stalled jobs, the wait for the next one) tell of nobody's request, every other second, and are not.
 *
 * To be made once tracing is started.
 */
export function jobTelemetry(): Telemetry {
  const { contextManager, tracer } = new BullMQOtel({ tracerName: 'bullmq' })
  return {
    contextManager,
    tracer: {
      startSpan: (name, options, context) =>
        options?.kind === SpanKind.INTERNAL ? unrecorded : tracer.startSpan(name, options, context),
    },
  }
}

const unrecorded: Span = {
  setSpanOnContext: (context) => context,
  setAttribute() {},
  setAttributes() {},
  addEvent() {},
  recordException() {},
  end() {},
}
