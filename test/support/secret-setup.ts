import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, inject } from 'vitest'
import { SecretRecord } from './secret-record.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder in which the run's secrets and outputs are written down, to be scanned when it ends. */
    recording: string
  }
}

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Of this worker, and so of one test file. */
export const record = new SecretRecord(inject('recording'), relative(root, expect.getState().testPath ?? 'no test'))

// Registered first, so it runs last.
afterAll(() => record.flush())
process.on('exit', () => record.flush())

/** Whatever a test asks of a Tenure, through a client or by itself, it asks with this. */
const ask = globalThis.fetch
globalThis.fetch = async (input, init) => {
  const answer = await ask(input, init)
  const request = new Request(input, { ...init, body: null, signal: null })
  // Read to its end before the test reads it, so that what a test has seen is written down. One that breaks off is the test's business.
  const text = await answer
    .clone()
    .text()
    .catch(() => undefined)
  if (text === undefined) return answer
  record.exchange(
    { method: request.method, url: request.url, authorization: request.headers.get('authorization'), body: init?.body },
    { status: answer.status, headers: [...answer.headers].map((header) => header.join(': ')).join('\n'), text },
  )
  return answer
}
