/**
 * Turns many calls into few: while one run is under way, further items wait and go together in the next. With nothing
 * under way an item goes at once, so batching costs an idle caller no time.
 *
 * `run` answers one result per item, in order; its failure is every item's failure.
 */
export function batched<Item, Result>(
  run: (items: Item[]) => Promise<Result[]>,
  options: { max: number; parallel?: number },
): (item: Item) => Promise<Result> {
  const waiting: Array<{ item: Item; resolve: (result: Result) => void; reject: (error: unknown) => void }> = []
  const parallel = options.parallel ?? 1
  let running = 0

  const next = async (): Promise<void> => {
    running++
    try {
      while (waiting.length > 0) {
        const batch = waiting.splice(0, options.max)
        try {
          const results = await run(batch.map(({ item }) => item))
          for (const [index, { resolve }] of batch.entries()) resolve(results[index]!)
        } catch (error) {
          for (const { reject } of batch) reject(error)
        }
      }
    } finally {
      running--
    }
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      // A turn later, so that calls made together travel together.
      if (running < parallel) queueMicrotask(() => running < parallel && waiting.length > 0 && void next())
    })
}
