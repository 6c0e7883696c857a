import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/wait-for.ts'
import { connectMcp, type GuardedMcp, type Run, startGuardedMcp } from './mcp-server.ts'
import { type StandIn, startStandIn } from './stand-in.ts'

let tenure: StandIn
let mcp: GuardedMcp

beforeEach(async () => {
  tenure = await startStandIn()
})
afterEach(async () => {
  await mcp.close()
  await tenure.close()
  expect(mcp.failures).toEqual([])
})

/** What the client sees: an answer of the SDK's transport where nothing was said yet, else a JSON-RPC error on the stream. */
const eras = [
  ['legacy', {}, { slow: 'Access has ended', streaming: 'Access has ended' }],
  ['modern', { versionNegotiation: { mode: 'auto' } }, { slow: 'Unauthorized', streaming: 'Access has ended' }],
] as const

describe.each(eras)('an MCP client of the %s era (SDK 2.4)', (era, options, seen) => {
  const tools = ['slow', 'streaming'] as const

  async function callOf(tool: string, token = tenure.issue()): Promise<{ run: Run; outcome: Promise<unknown> }> {
    const client = await connectMcp(mcp.url, token, options)
    const place = mcp.runs.length
    const outcome = client
      .callTool({ name: tool, arguments: {} }, { onprogress: () => {} })
      .catch((error) => error)
      .finally(() => client.close())
    return { run: await waitFor(() => mcp.runs[place], { what: 'the tool to run' }), outcome }
  }

  it('calls a tool, which knows the user', async () => {
    mcp = await startGuardedMcp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const client = await connectMcp(mcp.url, tenure.issue(), options)
    const { content } = await client.callTool({ name: 'whoami', arguments: {} })
    expect(content).toEqual([{ type: 'text', text: 'ada' }])
    await client.close()
  })

  it.each(tools)(
    'sees the running tool %s fail when a webhook says that the user has left, and the tool stops',
    async (tool) => {
      mcp = await startGuardedMcp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
      const { run, outcome } = await callOf(tool)
      const others = await callOf(tool, tenure.issue({ sub: 'bob' }))
      expect(run).toEqual({ tool, era, userId: 'ada', isStopped: false, isEnded: false })
      expect(await tenure.tell(mcp.webhookUrl)).toBe(204)
      expect(run.isEnded).toBe(true)
      expect(await outcome).toEqual(expect.objectContaining({ message: seen[tool] }))
      await waitFor(() => run.isStopped, { what: 'the SDK to stop the tool' })
      expect(others.run).toMatchObject({ isStopped: false, isEnded: false })
    },
  )

  it.each(tools)('sees the running tool %s fail without a webhook, by introspection', async (tool) => {
    mcp = await startGuardedMcp({ ...tenure.options, recheckSeconds: 0.1 })
    const { run, outcome } = await callOf(tool)
    tenure.cut('ada')
    expect(await outcome).toEqual(expect.objectContaining({ message: seen[tool] }))
    await waitFor(() => run.isStopped, { what: 'the SDK to stop the tool' })
  })

  it('is refused the next call', async () => {
    mcp = await startGuardedMcp({ ...tenure.options, webhookSecret: tenure.webhookSecret })
    const client = await connectMcp(mcp.url, tenure.issue(), options)
    await client.callTool({ name: 'whoami', arguments: {} })
    await tenure.tell(mcp.webhookUrl)
    await expect(client.callTool({ name: 'whoami', arguments: {} })).rejects.toThrow('Unauthorized')
    await client.close()
  })
})

describe('a server with sessions (NodeStreamableHTTPServerTransport)', () => {
  it('ends the stream that a client listens on, and a running tool sees extra.signal', async () => {
    mcp = await startGuardedMcp({ ...tenure.options, webhookSecret: tenure.webhookSecret }, { withSessions: true })
    const client = await connectMcp(mcp.url, tenure.issue())
    await waitFor(() => mcp.listening === 1, { what: 'the client to listen' })
    const outcome = client.callTool({ name: 'slow', arguments: {} }).catch((error) => error)
    const run = await waitFor(() => mcp.runs[0], { what: 'the tool to run' })
    await tenure.tell(mcp.webhookUrl)
    expect(run.isEnded).toBe(true)
    expect(await outcome).toEqual(expect.objectContaining({ message: 'Access has ended' }))
    await waitFor(() => mcp.listening === 0, { what: 'the stream to end' })
    await client.close()
  })
})
