import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { describe, expect, it } from 'vitest'
import { type Listening, listen } from '../../src/http/listen.ts'

const longGraceMs = 60_000

describe('a server that closes', () => {
  const place = { host: '127.0.0.1', port: 0 }

  async function ask({ url }: Listening, agent: Agent): Promise<{ status: number | undefined; goesOn: boolean }> {
    const [response] = await once(get(url, { agent }), 'response')
    response.resume()
    await once(response, 'end')
    return { status: response.statusCode, goesOn: response.headers.connection !== 'close' }
  }

  it('answers what comes on an open connection, and asks for the next to go elsewhere', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    let asked = 0
    let closed: Promise<void> | undefined
    const listening = await listen((_req, res) => {
      if (++asked === 5) closed = listening.close(longGraceMs)
      res.end()
    }, place)
    const answers = []
    // Without a pause, as a proxy in front asks: its connection is never idle.
    while (answers.at(-1)?.goesOn !== false) answers.push(await ask(listening, agent))
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200))
    expect(answers.map(({ goesOn }) => goesOn)).toEqual([true, true, true, true, true, false])
    await closed
    agent.destroy()
  })

  it('does not wait for a connection that has fallen idle after the request under way', async () => {
    const agent = new Agent({ keepAlive: true })
    const arrived = Promise.withResolvers<() => void>()
    const listening = await listen((_req, res) => arrived.resolve(() => res.end()), place)
    const answer = ask(listening, agent)
    const finish = await arrived.promise
    const closed = listening.close(longGraceMs)
    finish()
    expect(await answer).toMatchObject({ status: 200 })
    await closed
    agent.destroy()
  })

  it('breaks off what takes longer than its grace', async () => {
    const agent = new Agent({ keepAlive: true })
    const arrived = Promise.withResolvers<void>()
    const listening = await listen(() => arrived.resolve(), place)
    const answer = ask(listening, agent)
    await arrived.promise
    const [outcome] = await Promise.allSettled([answer, listening.close(50)])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ECONNRESET' } })
    agent.destroy()
  })
})
