import { TenureError } from '../errors.ts'

/** Something did not happen as Tenure promises, or could not begin. Its message is all that the reader needs. */
export class DemoFailure extends TenureError {
  constructor(message: string) {
    super('ERR_DEMO', message)
  }
}

/** Rejects when `signal` aborts, or has. */
export function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(new DemoFailure('The demo was stopped'))
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  promise.catch(() => {}) // it may come when nobody waits any more
  return promise
}
