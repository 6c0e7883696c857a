import express from 'express'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/wait-for.ts'
import { type GuardedApp, startGuardedApp } from './guarded-app.ts'
import { streamingFetch } from './mcp-server.ts'
import { type StandIn, secondsAgo, startStandIn } from './stand-in.ts'

let tenure: StandIn
let app: GuardedApp

beforeEach(async () => {
  tenure = await startStandIn()
})
afterEach(async () => {
  tenure.release()
  await app.close()
  await tenure.close()
  expect(app.failures).toEqual([])
})

const older = () => ({ iat: secondsAgo(60) })
const all = { active: true, scopes: ['read', 'write'] }

/** Once it is let in, and its answer's head is there where one is sent. */
async function begin(what: 'hold' | 'stream' | 'download', token: string) {
  const place = app.runs.length
  const answer = app.run(what, token)
  answer.catch(() => {}) // some are left open to the end
  await waitFor(() => app.runs[place], { what: 'the call to be let in' })
  if (what !== 'hold') await answer
  return { answer, run: app.runs[place]! }
}

const readAll = async (answer: Promise<Response>) => (await answer).text()

describe('a webhook that ends access', () => {
  beforeEach(async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret, recheckSeconds: 3_600 })
  })

  it('answers a call 401 that was not answered yet, before Tenure has its 2xx', async () => {
    const { answer, run } = await begin('hold', tenure.issue(older()))
    expect(run.signal.aborted).toBe(false)
    expect(await tenure.tell(app.webhookUrl)).toBe(204)
    expect(run.signal.aborted).toBe(true)
    expect((await answer).status).toBe(401)
    expect((await answer).headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
    expect(await (await answer).json()).toEqual({ error: 'invalid_token', error_description: 'Access has ended' })
  })

  it('ends an event stream', async () => {
    const { answer, run } = await begin('stream', tenure.issue(older()))
    await tenure.tell(app.webhookUrl)
    expect(run.signal.aborted).toBe(true)
    expect((await readAll(answer)).startsWith('data: begun\n\n')).toBe(true)
  })

  it('breaks off whatever else was half said', async () => {
    const { answer } = await begin('download', tenure.issue(older()))
    await tenure.tell(app.webhookUrl)
    expect(app.open).toBe(0)
    await expect(readAll(answer)).rejects.toThrow('terminated')
  })

  it('ends every call of that user, with whatever token, and nobody else’s', async () => {
    const bobs = await begin('hold', tenure.issue({ ...older(), sub: 'bob' }))
    const adas = [
      await begin('hold', tenure.issue(older())),
      await begin('stream', tenure.issue(older())),
      await begin('hold', tenure.issue({ ...older(), client_id: 'vscode' })),
    ]
    await tenure.tell(app.webhookUrl)
    expect(adas.map(({ run }) => run.signal.aborted)).toEqual([true, true, true])
    expect(bobs.run.signal.aborted).toBe(false)
    bobs.run.answer()
    expect((await bobs.answer).status).toBe(200)
  })

  it('is not undone by a handler that answers all the same', async () => {
    const { answer, run } = await begin('hold', tenure.issue(older()))
    run.signal.addEventListener('abort', () => run.answer())
    await tenure.tell(app.webhookUrl)
    run.answer()
    expect((await answer).status).toBe(401)
    expect((await answer).headers.has('x-late')).toBe(false)
  })

  it('of a mover ends the calls whose token has more than is left', async () => {
    const writing = await begin('hold', tenure.issue({ ...older(), scope: 'read write' }))
    const reading = await begin('hold', tenure.issue({ ...older(), scope: 'read' }))
    await tenure.tell(app.webhookUrl, { active: true, scopes: ['read'] })
    expect(writing.run.signal.aborted).toBe(true)
    expect(reading.run.signal.aborted).toBe(false)
    reading.run.answer()
    expect((await reading.answer).status).toBe(200)
  })

  it('of ended sessions ends the calls of tokens from before notBefore', async () => {
    const old = await begin('hold', tenure.issue(older()))
    const young = await begin('hold', tenure.issue({ iat: secondsAgo(10) }))
    await tenure.tell(app.webhookUrl, { ...all, notBefore: new Date(secondsAgo(30) * 1_000) })
    expect([old.run.signal.aborted, young.run.signal.aborted]).toEqual([true, false])
  })

  it('asks Tenure at once about what it does not say, and ends what is not good', async () => {
    // Told is what any MCP client may have; this one has lost it.
    const token = tenure.issue(older())
    const kept = tenure.issue({ ...older(), client_id: 'vscode' })
    const [lost, other] = [await begin('hold', token), await begin('hold', kept)]
    const asked = tenure.asked.length
    tenure.revoke(token)
    await tenure.tell(app.webhookUrl, all)
    expect((await lost.answer).status).toBe(401)
    await waitFor(() => tenure.asked.length === asked + 2, { what: 'both to be asked about' })
    expect(other.run.signal.aborted).toBe(false)
  })

  it('asks once more when it comes while Tenure is being asked', async () => {
    const token = tenure.issue(older())
    const { answer } = await begin('hold', token)
    tenure.behave({ hang: true })
    await tenure.tell(app.webhookUrl, all)
    await waitFor(() => tenure.open === 1, { what: 'the question' })
    tenure.revoke(token)
    await tenure.tell(app.webhookUrl, all)
    tenure.release()
    expect((await answer).status).toBe(401)
    expect(tenure.asked).toEqual([token, token, token])
  })

  it('ends a call that was being checked when it came', async () => {
    const token = tenure.issue(older())
    tenure.behave({ hang: true })
    const call = app.get(token)
    await waitFor(() => tenure.open === 1, { what: 'the question' })
    await tenure.tell(app.webhookUrl)
    tenure.release()
    expect((await call).status).toBe(401)
  })

  it('is nothing to a call that is over, nor is its end an abort', async () => {
    const token = tenure.issue(older())
    const { answer, run } = await begin('hold', token)
    run.answer()
    expect((await answer).status).toBe(200)
    await readAll(answer)
    await waitFor(() => app.open === 0, { what: 'the response to be done with' })
    expect(await tenure.tell(app.webhookUrl)).toBe(204)
    expect(run.signal.aborted).toBe(false)
  })

  it('leaves the signal of a call to tell that its client has gone', async () => {
    const gone = new AbortController()
    const answer = app.run('hold', tenure.issue(older()), gone.signal)
    const run = await waitFor(() => app.runs[0], { what: 'the call to be let in' })
    gone.abort()
    await expect(answer).rejects.toThrow('aborted')
    await waitFor(() => run.signal.aborted, { what: 'the signal' })
    expect(run.signal.reason).toEqual(new Error('The connection was closed'))
  })

  it('says to whoever waits for JSON-RPC on an event stream that it has ended', async () => {
    await app.close()
    app = await startGuardedApp(
      { ...tenure.options, webhookSecret: tenure.webhookSecret },
      { parsers: [express.json()] },
    )
    const message = [
      { jsonrpc: '2.0', id: 7, method: 'tools/call' },
      { jsonrpc: '2.0', method: 'notifications/x' },
      { jsonrpc: '2.0', id: 'b', method: 'ping' },
    ]
    const answer = await streamingFetch(`${app.url}/mcp?do=stream`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tenure.issue(older())}`, 'content-type': 'application/json' },
      body: JSON.stringify(message),
    })
    await tenure.tell(app.webhookUrl)
    const events = (await answer.text()).split('\n\n').filter((event) => event.startsWith('event: message\n'))
    expect(events.map((event) => JSON.parse(event.split('data: ')[1]!))).toEqual(
      [7, 'b'].map((id) => ({ jsonrpc: '2.0', id, error: { code: -32_000, message: 'Access has ended' } })),
    )
  })
})

describe('running calls are checked again', () => {
  it.each(['introspection', 'jwt'] as const)(
    'every recheckSeconds by introspection where no webhook is wired, when tokens are checked by %s',
    async (check) => {
      app = await startGuardedApp({ ...tenure.options, check, recheckSeconds: 0.1 })
      const issue = async () => (check === 'jwt' ? tenure.issueJwt() : tenure.issue())
      const [token, another] = [await issue(), await issue()]
      const held = [await begin('hold', token), await begin('stream', token)]
      const other = await begin('hold', another)
      const askedOf = (each: string) => tenure.asked.filter((asked) => asked === each).length
      await waitFor(() => askedOf(token) >= 3 && askedOf(another) >= 3, { what: 'both to be asked about, and again' })

      tenure.revoke(token)
      expect((await held[0]!.answer).status).toBe(401)
      await readAll(held[1]!.answer)
      const [ofToken, ofAnother] = [askedOf(token), askedOf(another)]
      await waitFor(() => askedOf(another) >= ofAnother + 3, { what: 'the other to be asked about' })
      expect(askedOf(token)).toBe(ofToken)
      expect(other.run.signal.aborted).toBe(false)
    },
  )

  it('with a webhook too, for one that went to another process', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret, recheckSeconds: 0.1 })
    const token = tenure.issue()
    const { answer } = await begin('hold', token)
    tenure.revoke(token)
    expect((await answer).status).toBe(401)
  })

  it('and end with their token where no webhook would say that their user has left', async () => {
    app = await startGuardedApp({ ...tenure.options, recheckSeconds: 0.1 })
    const { answer } = await begin('hold', tenure.issue({ exp: secondsAgo(-2) }))
    expect((await answer).status).toBe(401)
  })

  it('and may outlive their token where one would: until it comes', async () => {
    app = await startGuardedApp({ ...tenure.options, webhookSecret: tenure.webhookSecret, recheckSeconds: 0.1 })
    const exp = secondsAgo(-2)
    const token = tenure.issue({ ...older(), exp })
    const { answer, run } = await begin('hold', token)
    await waitFor(() => Date.now() > (exp + 1) * 1_000, { what: 'the token to expire' })
    expect((await app.get(token)).status).toBe(401)
    const another = tenure.issue({ sub: 'bob' })
    const askedOf = (each: string) => tenure.asked.filter((asked) => asked === each).length
    const asked = askedOf(token)
    await begin('hold', another)
    await waitFor(() => askedOf(another) >= 4, { what: 'the other to be asked about, and again' })
    expect(askedOf(token)).toBe(asked)
    expect(run.signal.aborted).toBe(false)
    await tenure.tell(app.webhookUrl)
    expect((await answer).status).toBe(401)
  })

  it('and outlive it no longer than they may, for the webhook may have gone to another process', async () => {
    const wired = { webhookSecret: tenure.webhookSecret, recheckSeconds: 0.1, outliveSeconds: 1 }
    app = await startGuardedApp({ ...tenure.options, ...wired })
    const exp = secondsAgo(-2)
    const { answer, run } = await begin('hold', tenure.issue({ exp }))
    expect((await answer).status).toBe(401)
    expect(run.signal.aborted).toBe(true)
    expect(Date.now()).toBeGreaterThanOrEqual((exp + 1) * 1_000)
  })
})
