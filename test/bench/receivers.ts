import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** Seven servers that answer at once and remember when they heard what: the far side of both Tenure and the floor. */
export interface Receivers {
  readonly urls: readonly string[]
  /** Since start, all together. */
  readonly count: () => number
  /** Resolves with the time at which the last of the seven had answered a revocation of this user. */
  allRevoked(userId: string): Promise<number>
  /** Resolves once `count()` has reached this. */
  heard(count: number): Promise<void>
  close(): void
}

export async function startReceivers(howMany: number): Promise<Receivers> {
  const revoked = new Map<string, { left: Set<number>; resolve: (at: number) => void }>()
  const waiting: Array<{ count: number; resolve: () => void }> = []
  let count = 0

  const servers = await Promise.all(
    Array.from({ length: howMany }, async (_, index) => {
      const server = createServer((req, res) => {
        const chunks: Buffer[] = []
        req.on('data', (chunk) => chunks.push(chunk))
        req.on('end', () => {
          const { data } = JSON.parse(Buffer.concat(chunks).toString('utf8'))
          res.end(() => note(index, data))
        })
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      return server
    }),
  )

  function note(index: number, data: { active: boolean; user: { id: string } }): void {
    count++
    while (waiting.length > 0 && waiting[0]!.count <= count) waiting.shift()!.resolve()
    const wait = data.active ? undefined : revoked.get(data.user.id)
    if (!wait) return
    wait.left.delete(index)
    if (wait.left.size === 0) wait.resolve(performance.now())
  }

  return {
    urls: servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
    count: () => count,
    allRevoked: (userId) => new Promise((resolve) => revoked.set(userId, { left: new Set(servers.keys()), resolve })),
    heard: (wanted) =>
      wanted <= count
        ? Promise.resolve()
        : new Promise((resolve) => {
            waiting.push({ count: wanted, resolve })
            waiting.sort((a, b) => a.count - b.count)
          }),
    close: () => {
      for (const server of servers) {
        server.closeAllConnections()
        server.close()
      }
    },
  }
}
