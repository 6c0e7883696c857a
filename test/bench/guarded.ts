/**
 * An Express app behind the guard: `/asking` asks Tenure at each call, `/told` is told by webhook and asks again after
 * five seconds.
 *
 * Run by oauth.ts as a process of its own: Tenure's URL, the resource and the server's credentials as arguments.
 */
import express from 'express'
import { createGuard } from '../../src/guard/guard.ts'
import { newSigningSecret } from '../../src/secrets.ts'

const [tenure, resource, clientId, clientSecret] = process.argv.slice(2) as [string, string, string, string]
const options = { tenure, resource, clientId, clientSecret, scopes: ['read'] }
const app = express()
app.disable('x-powered-by')
app.set('etag', false)
app.get('/asking', createGuard(options).protect(), (_req, res) => void res.json({ ok: true }))
const told = createGuard({ ...options, webhookSecret: newSigningSecret() })
app.get('/told', told.protect(), (_req, res) => void res.json({ ok: true }))
const listening = app.listen(0, '127.0.0.1', () => {
  const { port } = listening.address() as { port: number }
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${port}` })}\n`)
})
process.once('SIGTERM', () => process.exit(0))
