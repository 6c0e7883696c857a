/** A Map of at most `most` entries: the one that was set longest ago goes first. */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, V>()
  readonly #most: number
  readonly #onEvicted: (value: V) => void

  constructor(most: number, onEvicted: (value: V) => void = () => {}) {
    this.#most = most
    this.#onEvicted = onEvicted
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  set(key: K, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= this.#most) return
    const [oldest, evicted] = this.#entries.entries().next().value!
    this.#entries.delete(oldest)
    this.#onEvicted(evicted)
  }

  delete(key: K): void {
    this.#entries.delete(key)
  }
}
