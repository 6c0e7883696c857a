import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { TenureError } from '../errors.ts'

/** A filter of the length that is read, in any alphabet: three bytes of a character are nine in a URL. Node gives 16 KiB. */
const largestHeadersBytes = 64 * 1024

export interface Listening {
  /** http://host:port as really listened on. */
  readonly url: string
  /** Takes no new connection, ends each that it has after the request under way; those that take longer than `graceMs`, then. */
  close(graceMs: number): Promise<void>
}

/** @throws TenureError when the address cannot be had */
export async function listen(
  handler: RequestListener,
  { host, port }: { host: string; port: number },
): Promise<Listening> {
  let closing = false
  const serve: RequestListener = (req, res) => {
    // On a connection from before, whose next request should go to somebody who stays.
    if (closing) res.setHeader('Connection', 'close')
    handler(req, res)
  }
  const server = createServer({ keepAliveTimeout: 65_000, maxHeaderSize: largestHeadersBytes }, serve)
  // Node would answer 417 by itself, in no form of ours; whoever does not know an expectation may pass over it (RFC 9110 §10.1.1).
  server.on('checkExpectation', serve)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'EADDRINUSE' ? 'the port is in use' : cause.code === 'EACCES' ? 'not permitted' : cause.message
      reject(new TenureError('ERR_LISTEN', `Cannot listen on ${host}:${port}: ${why}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  const { address, family, port: bound } = server.address() as AddressInfo
  const name = family === 'IPv6' ? `[${address}]` : address
  return {
    url: `http://${name}:${bound}`,
    close: (graceMs) => {
      closing = true
      return closeServer(server, graceMs)
    },
  }
}

async function closeServer(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  // A request that was under way at the start leaves its connection open behind it.
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  const late = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearInterval(idle)
  clearTimeout(late)
}
