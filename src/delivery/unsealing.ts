import type { Sealer } from '../secrets.ts'

const mostRemembered = 1_000

/** Opens secrets once each: what is sealed never changes, a rotated secret is sealed anew. */
export function createUnsealing(sealer: Sealer): (sealed: readonly string[]) => Promise<string[]> {
  const opened = new Map<string, Promise<string>>()

  return (sealed) => Promise.all(sealed.map(open))

  function open(sealed: string): Promise<string> {
    const known = opened.get(sealed)
    if (known) return known
    if (opened.size >= mostRemembered) opened.delete(opened.keys().next().value!)
    const secret = sealer.unseal(sealed)
    opened.set(sealed, secret)
    return secret
  }
}
