import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readChallenges } from '../../src/cli/check/challenge.ts'
import { createRequests } from '../../src/cli/check/requests.ts'
import type { PrivateTargets } from '../../src/private-targets.ts'
import { type ReadyServer, startReadyServer } from '../support/ready-server.ts'

let server: ReadyServer
beforeAll(async () => {
  server = await startReadyServer()
})
afterEach(() => server.restore())
afterAll(() => server.close())

function requests(addresses: readonly string[], allowPrivate: PrivateTargets = []) {
  let asked = 0
  const resolve = async () => {
    const address = addresses[Math.min(asked++, addresses.length - 1)]!
    return [{ address, family: address.includes(':') ? 6 : 4 }]
  }
  return createRequests({ allowPrivate, timeoutMs: 2_000, resolve })
}

describe('what the check may ask', () => {
  it.each(['10.0.0.1', '127.0.0.1', '169.254.169.254', '::1', '::ffff:10.0.0.1', 'fd00::1'])(
    'is no name that resolves to %s',
    async (address) => {
      const refused = { id: 'private-address', seen: expect.stringContaining(address) }
      expect(await requests([address]).ask('https://inside.example/')).toMatchObject(refused)
      expect(await requests([address]).weigh('https://inside.example/')).toMatchObject(refused)
    },
  )

  it('is judged by the address that is dialled, whatever the name resolved to before', async () => {
    const rebinding = requests(['93.184.216.34', '127.0.0.2'])
    const url = `https://rebinding.example:${new URL(server.stranger.url).port}/`
    expect(await rebinding.weigh(url)).toBeUndefined()
    expect(await rebinding.ask(url)).toMatchObject({ id: 'private-address' })
    expect(server.stranger.requests).toBe(0)
  })

  it.each([
    'http://localhost/',
    'http://127.1/',
    'https://[::1]/',
    'https://0x7f000001/',
    'https://metadata.google.internal/',
    'https://169.254.169.254/',
  ])('is not %s', async (url) => {
    expect(await requests(['93.184.216.34']).ask(url)).toMatchObject({ id: 'private-address' })
  })

  it('is a metadata address only when it is listed by itself', async () => {
    expect(await requests([], ['169.254.0.0/16']).weigh('https://169.254.169.254/')).toMatchObject({
      id: 'private-address',
    })
    expect(await requests([], ['169.254.169.254']).weigh('https://169.254.169.254/')).toBeUndefined()
  })

  it.each([
    'ftp://mcp.example/',
    'mcp.example',
    'https://a b/',
    'https://ada:secret@mcp.example/',
    'http://mcp.example/',
  ])('is not %s, and no secret in it is repeated', async (url) => {
    const refused = await requests(['93.184.216.34']).ask(url)
    expect(refused).toMatchObject({ id: 'not-https' })
    expect(JSON.stringify(refused)).not.toContain('ada:secret')
  })

  it('is http on a listed host, which is said unless it is this machine', async () => {
    const listed = requests(['127.0.0.1'], ['127.0.0.1', 'mcp.internal'])
    expect(await listed.weigh(server.url)).toBeUndefined()
    const internal = server.url.replace('127.0.0.1', 'mcp.internal')
    expect(await listed.weigh(internal)).toMatchObject({ id: 'not-https' })
    expect(await listed.ask(internal)).toMatchObject({ status: 401 })
  })
})

describe('a name that nobody resolves', () => {
  const silent = createRequests({ allowPrivate: [], timeoutMs: 200, resolve: () => new Promise(() => {}) })

  it('is not waited for any longer than an answer', async () => {
    expect(await silent.weigh('https://mcp.example/')).toMatchObject({
      id: 'unreachable',
      seen: 'https://mcp.example/: its name takes too long to resolve',
    })
    expect(await silent.ask('https://mcp.example/')).toMatchObject({ id: 'timeout' })
  })
})

describe('what a redirect is', () => {
  const redirecting = async (location: string, addresses: readonly string[]) => {
    server.answer('mcp', '/mcp', (_seen, res) => void res.writeHead(302, { location }).end())
    return requests(addresses, ['127.0.0.1']).ask(server.url)
  }

  it('is judged by what its name resolves to, and not followed', async () => {
    expect(await redirecting('https://inside.example/', ['10.0.0.1'])).toMatchObject({ id: 'redirect-to-private' })
    expect(await redirecting('https://new.example/', ['93.184.216.34'])).toMatchObject({ id: 'redirect' })
    expect(await redirecting('/elsewhere', [])).toMatchObject({ id: 'redirect' })
    expect(server.requests.map(({ path }) => path)).toEqual(['/mcp', '/mcp', '/mcp'])
  })
})

describe('an answer', () => {
  it('is cut at 64 KiB', async () => {
    server.answer('mcp', '/mcp', (_seen, res) => void res.end('x'.repeat(1_000_000)))
    const answer = await requests([], ['127.0.0.1']).ask(server.url)
    expect(answer).toMatchObject({ truncated: true, body: 'x'.repeat(65_536) })
  })
})

describe('WWW-Authenticate (RFC 9110 §11.6.1)', () => {
  it.each([
    ['Bearer', [['bearer', {}]]],
    ['bearer realm="a, b", Scope = "read \\"x\\""', [['bearer', { realm: 'a, b', scope: 'read "x"' }]]],
    [
      'Negotiate abc==, Basic realm=x, Bearer error=invalid_token',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
        ['bearer', { error: 'invalid_token' }],
      ],
    ],
    [
      'DPoP algs="ES256", Bearer',
      [
        ['dpop', { algs: 'ES256' }],
        ['bearer', {}],
      ],
    ],
    ['', []],
    ['"', []],
    ['realm="x"', []],
  ])('reads %j', (header, expected) => {
    const read = readChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
    expect(read).toEqual(expected)
  })
})
