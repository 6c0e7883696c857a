/**
 * A process that has the embedded database: `hold-embedded.ts <home>`. Prints its URLs as a JSON line, or the error's code and
 * message; stops it in order on SIGTERM. Everything else that a test does to it is done from outside.
 */
import { startEmbedded } from '../../src/db/embedded/embedded.ts'
import { createLogger } from '../../src/log.ts'

const print = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`)
const [home = ''] = process.argv.slice(2)
try {
  const database = await startEmbedded({ home, log: createLogger({ level: 'info' }) })
  database.exited.catch((error) => print({ lost: error.message }))
  const alive = setInterval(() => {}, 60_000)
  process.once('SIGTERM', async () => {
    await database.stop()
    clearInterval(alive)
  })
  print({ ownerUrl: database.ownerUrl, url: database.url })
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  print({ code, message })
  process.exitCode = 1
}
