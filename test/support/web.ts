import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What is answered: JSON with 200, or as it says. `stalled`: nothing until `release()`. */
export type Page = { json: unknown } | { status: number; body?: string; location?: string } | 'stalled'

/** Somebody else's pages on 127.0.0.1. */
export interface Web {
  readonly url: string
  /** Paths in the order in which they were asked for. */
  readonly asked: readonly string[]
  put(path: string, page: Page): void
  /** Answers what is stalled as it is to be answered by now. */
  release(): void
  close(): Promise<void>
}

export async function startWeb(): Promise<Web> {
  const pages = new Map<string, Page>()
  const asked: string[] = []
  let stalled: Array<() => void> = []

  function answer(path: string, res: ServerResponse): void {
    const page = pages.get(path) ?? { status: 404 }
    if (page === 'stalled') {
      stalled.push(() => answer(path, res))
      return
    }
    if ('json' in page) {
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(page.json))
      return
    }
    res.writeHead(page.status, page.location === undefined ? {} : { location: page.location }).end(page.body)
  }

  const server = createServer((req, res) => {
    asked.push(req.url!)
    answer(req.url!, res)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    put: (path, page) => void pages.set(path, page),
    release() {
      const waiting = stalled
      stalled = []
      for (const go of waiting) go()
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
