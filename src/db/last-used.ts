const noteEveryMs = 60_000
const mostRemembered = 10_000

/**
 * Notes that a credential was used, at most once a minute for each: enough to see which are still in use before one is
 * removed, and no write for each request. What cannot be noted is let go; nothing rests on it.
 */
export function createUseNotes(write: (id: string) => Promise<unknown>): (id: string) => void {
  const notedAtMs = new Map<string, number>()

  return (id) => {
    const now = performance.now()
    if (now - (notedAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < noteEveryMs) return
    if (notedAtMs.size >= mostRemembered) notedAtMs.clear()
    notedAtMs.set(id, now)
    write(id).catch(() => notedAtMs.delete(id))
  }
}
