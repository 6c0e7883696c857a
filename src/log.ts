import { trace } from '@opentelemetry/api'
import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger }

const secretKeys = [
  'token',
  'secret',
  'password',
  'authorization',
  'signingSecret',
  'clientSecret',
  'assertion',
  'adminKey',
  'secretKey',
  'key',
  'cookie',
]

/**
 * One wide line per unit of work (a request, a job, an attempt), named `noun.verbed`, with ids always under the same
 * keys. Bodies are never logged; redaction is the second line of defence, two levels deep.
 */
export function createLogger(options: { level: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level,
      base: undefined,
      mixin: activeTrace,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[redacted]' },
      serializers: { err: errorSummary, error: errorSummary },
    },
    options.destination ?? pino.destination({ fd: 1 }),
  )
}

/** For lines without objects in them: to look for secrets deeper down costs several times what the line does. */
export function forFlatLines(log: Logger): Logger {
  return log.child({}, { redact: { paths: secretKeys, censor: '[redacted]' } })
}

/** Where tracing is configured, each line names the trace that it belongs to. */
function activeTrace(): object {
  const span = trace.getActiveSpan()
  return span === undefined ? {} : { traceId: span.spanContext().traceId }
}

/** An error as a log may carry it: its chain of causes, without the fields in which drivers keep query parameters. */
function errorSummary(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? error.code : undefined
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: errorSummary(error.cause) }),
  }
}
