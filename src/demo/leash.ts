/**
 * Preloaded (`node --import`) into the `tenure start` that the demo runs: when standard input ends, whoever started us is
 * gone, however it died, and it is as if a SIGTERM had come. Tenure itself has no such habit.
 */
const longestDrainMs = 20_000

process.stdin.once('end', stop).once('error', stop).resume()
process.stdin.unref()

function stop(): void {
  const isHeard = process.emit('SIGTERM', 'SIGTERM')
  if (!isHeard) process.exit(1)
  setTimeout(() => process.exit(1), longestDrainMs).unref()
}
