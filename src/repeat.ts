/**
 * Does `work` now and again `everyMs` after each time it ended, one at a time. What it throws is handed to `onError`
 * and changes nothing.
 *
 * @returns stops it and waits for work under way
 */
export function repeat(
  everyMs: number,
  work: () => Promise<void>,
  onError: (error: unknown) => void,
): () => Promise<void> {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  const tick = (): void => {
    running = work()
      .catch(onError)
      .finally(() => {
        if (!stopped) timer = setTimeout(tick, everyMs)
      })
  }
  tick()

  return async () => {
    stopped = true
    clearTimeout(timer)
    await running
  }
}
