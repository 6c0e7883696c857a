import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import {
  createEgress,
  type Egress,
  type EgressOptions,
  EgressRefused,
  EgressUnanswered,
  EgressUnsent,
} from '../../src/connectors/egress.ts'
import { Invalid } from '../../src/errors.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function egress(options: Partial<EgressOptions> = {}): Egress {
  const made = createEgress({ allowPrivateTargets: [], ...options })
  cleanups.push(() => made.close())
  return made
}

async function serve(listener: RequestListener) {
  const seen = { connections: 0, requests: 0 }
  const server = createServer((req, res) => {
    seen.requests += 1
    listener(req, res)
  })
  server.on('connection', () => {
    seen.connections += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, seen, server }
}

/** A resolver whose answer changes: the n-th call gets the n-th list, the last one stays. */
function resolver(...answers: string[][]) {
  let calls = 0
  return async () => {
    const addresses = answers[Math.min(calls++, answers.length - 1)]!
    return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
}

const answerOk: RequestListener = (_req, res) => res.end('ok')

describe('which URLs may be configured', () => {
  it.each([
    'https://hooks.example.com',
    'https://hooks.example.com:8443/a/b?c=d',
    'https://93.184.216.34/',
    'https://[2606:4700:4700::1111]/',
    'https://[64:ff9b::808:808]/', // NAT64 of 8.8.8.8
    'https://[::ffff:8.8.8.8]/',
    'https://192.0.1.1/',
    'https://172.32.0.1/',
    'https://100.128.0.1/',
  ])('accepts %s', (url) => {
    expect(egress().checkConfiguredUrl(url).href).toBe(new URL(url).href)
  })

  it.each([
    ['loopback', '127.0.0.1'],
    ['loopback', '127.255.255.254'],
    ['loopback, in one part', '2130706433'],
    ['loopback, short', '127.1'],
    ['loopback, hexadecimal', '0x7f000001'],
    ['loopback, mixed', '0x7f.0.1'],
    ['loopback, octal', '0177.0.0.01'],
    ['loopback, full width', '①②⑦.0.0.1'],
    ['loopback, percent-encoded', '%31%32%37.0.0.1'],
    ['loopback, trailing dot', '127.0.0.1.'],
    ['unspecified', '0.0.0.0'],
    ['this network', '0.1.2.3'],
    ['private', '10.0.0.1'],
    ['private', '172.16.0.1'],
    ['private', '172.31.255.255'],
    ['private', '192.168.0.1'],
    ['link-local', '169.254.1.1'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['protocol assignments', '192.0.0.8'],
    ['benchmarking', '198.18.0.1'],
    ['documentation', '192.0.2.1'],
    ['documentation', '198.51.100.1'],
    ['documentation', '203.0.113.1'],
    ['multicast', '224.0.0.1'],
    ['reserved', '240.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['IPv6 loopback', '[::1]'],
    ['IPv6 loopback, long', '[0:0:0:0:0:0:0:1]'],
    ['IPv6 unspecified', '[::]'],
    ['unique-local', '[fd00::1]'],
    ['IPv6 link-local', '[fe80::1]'],
    ['site-local', '[fec0::1]'],
    ['IPv6 multicast', '[ff02::1]'],
    ['IPv6 documentation', '[2001:db8::1]'],
    ['IPv6 documentation', '[3fff::1]'],
    ['IPv6 benchmarking', '[2001:2::1]'],
    ['discard', '[100::1]'],
    ['outside of 2000::/3', '[4000::1]'],
    ['IPv4-mapped', '[::ffff:127.0.0.1]'],
    ['IPv4-mapped, hexadecimal', '[::ffff:a00:1]'],
    ['IPv4-compatible', '[::127.0.0.1]'],
    ['IPv4-translated', '[::ffff:0:10.0.0.1]'],
    ['6to4', '[2002:7f00:1::1]'],
    ['Teredo client', '[2001:0:808:808:0:0:f5ff:fffe]'], // 10.0.0.1 with its bits turned
    ['Teredo server', '[2001:0:a00:1:0:0:f7f7:f7f7]'],
    ['NAT64', '[64:ff9b::10.0.0.1]'],
    ['local-use NAT64', '[64:ff9b:1::8.8.8.8]'],
    ['localhost', 'localhost'],
    ['localhost, trailing dot', 'LOCALHOST.'],
    ['below localhost', 'app.localhost'],
    ['metadata', '169.254.169.254'],
    ['metadata, mapped', '[::ffff:169.254.169.254]'],
    ['metadata, IPv6', '[fd00:ec2::254]'],
    ['metadata, name', 'metadata.google.internal'],
    ['metadata that looks public', '168.63.129.16'],
  ])('refuses %s: %s', async (_what, host) => {
    const url = `https://${host}/hook?token=hidden`
    const guarded = egress()
    expect(() => guarded.checkConfiguredUrl(url, 'connectors.0.url')).toThrow(
      expect.objectContaining({
        problems: [{ field: 'connectors.0.url', message: expect.stringContaining('must not lead to') }],
      }),
    )
    const refusal = guarded.request(url, { timeoutMs: 1_000 })
    await expect(refusal).rejects.toThrow(EgressRefused)
    await expect(refusal).rejects.not.toThrow('hidden')
  })

  it.each([
    ['hooks.example.com/a', 'absolute URL'],
    ['/hook', 'absolute URL'],
    ['', 'absolute URL'],
    ['ftp://example.com/', 'https URL'],
    ['file:///etc/passwd', 'absolute URL'],
    ['data:text/plain,hi', 'absolute URL'],
    ['http://example.com/', 'https URL; http is for hosts'],
    ['https://user:pass@example.com/', 'credentials'],
    ['https://user@example.com/', 'credentials'],
    ['https://example.com/#', 'fragment'],
    ['https://example.com/#part', 'fragment'],
    ['https://exam\nple.com/', 'control characters'],
    [' https://example.com/', 'spaces'],
    ['https:\\\\example.com\\', 'backslashes'],
  ])('refuses %j: %s', (url, why) => {
    expect(() => egress().checkConfiguredUrl(url)).toThrow(Invalid)
    expect(() => egress().checkConfiguredUrl(url)).toThrow(why)
  })

  it.each<[string, readonly string[] | true]>([
    ['http://localhost:3000/', ['localhost']],
    ['http://LOCALHOST.:3000/', ['localhost']],
    ['http://127.0.0.1/', ['127.0.0.1']],
    ['http://127.1/', ['127.0.0.1']],
    ['http://10.20.3.4/', ['10.20.0.0/16']],
    ['https://10.20.3.4/', ['10.20.0.0/16']],
    ['https://[::ffff:10.20.3.4]/', ['10.20.0.0/16']],
    ['https://[64:ff9b::10.20.3.4]/', ['10.20.0.0/16']],
    ['http://[fd12::1]/', ['fd12::/16']],
    ['http://[::1]:80/', ['[::1]']],
    ['http://hooks.corp.example/', ['Hooks.Corp.Example']],
    ['http://example.com/', true],
    ['http://192.168.1.1/', true],
    ['http://169.254.169.254/', ['169.254.169.254']],
    ['http://[::ffff:169.254.169.254]/', ['169.254.169.254']],
    ['http://metadata.google.internal/', ['metadata.google.internal']],
    ['http://169.254.169.254/', true],
  ])('accepts %s where %j is listed', (url, allowPrivateTargets) => {
    expect(egress({ allowPrivateTargets }).checkConfiguredUrl(url)).toBeInstanceOf(URL)
  })

  it.each<[string, readonly string[]]>([
    ['http://127.0.0.1/', ['localhost']],
    ['http://localhost/', ['127.0.0.1']],
    ['http://10.21.0.1/', ['10.20.0.0/16']],
    ['http://sub.corp.example/', ['corp.example']],
    ['http://169.254.169.254/', ['169.254.0.0/16']],
    ['http://169.254.169.254/', ['169.254.169.254/32']],
    ['http://169.254.169.254/', ['0.0.0.0/0', '::/0']],
    ['http://[fd00:ec2::254]/', ['fd00::/8']],
    ['http://[64:ff9b:1::a9fe:a9fe]/', ['64:ff9b:1::/48']],
    ['http://metadata.google.internal/', ['169.254.169.254']],
    ['http://user:pass@localhost/', ['localhost']],
  ])('refuses %s where only %j is listed', (url, allowPrivateTargets) => {
    expect(() => egress({ allowPrivateTargets }).checkConfiguredUrl(url)).toThrow(Invalid)
  })

  it('refuses an allow-list that cannot be read', () => {
    expect(() => createEgress({ allowPrivateTargets: ['http://localhost'] })).toThrow('list its host alone')
  })
})

describe('names are judged when the connection is made', () => {
  it('refuses one that has turned private since it was configured', async () => {
    const { port, seen } = await serve(answerOk)
    const guarded = egress({ resolve: resolver(['127.0.0.1']) })
    const url = `https://rebind.example:${port}/path?token=hidden`
    guarded.checkConfiguredUrl(url)
    await expect(guarded.request(url, { timeoutMs: 1_000 })).rejects.toThrow(
      new EgressRefused('rebind.example', '127.0.0.1 is not a public address'),
    )
    expect(seen.connections).toBe(0)
  })

  it.each([
    [['93.184.216.34', '10.0.0.1']],
    [['2606:4700::1', '::1']],
    [['::ffff:127.0.0.1']],
    [['fe80::1%2']],
    [['169.254.169.254']],
  ])('refuses one that resolves to %j', async (addresses) => {
    const request = egress({ resolve: resolver(addresses) }).request('https://a.example/', { timeoutMs: 1_000 })
    await expect(request).rejects.toThrow(EgressRefused)
  })

  it('lets a listed name be private, and a listed CIDR hold what any name resolves to', async () => {
    const { port } = await serve(answerOk)
    const named = egress({ allowPrivateTargets: ['in.example'], resolve: resolver(['127.0.0.1']) })
    expect((await named.request(`http://in.example:${port}/`, { timeoutMs: 1_000 })).status).toBe(200)

    const ranged = egress({ allowPrivateTargets: ['127.0.0.0/8'], resolve: resolver(['127.0.0.1']) })
    // Past the guard, TLS meets a server that speaks none.
    await expect(ranged.request(`https://in.example:${port}/`, { timeoutMs: 1_000 })).rejects.toThrow(EgressUnsent)
    await expect(ranged.request(`http://in.example:${port}/`, { timeoutMs: 1_000 })).rejects.toThrow(EgressRefused)
  })

  it('never lets a listed name lead to metadata, even once it has led elsewhere', async () => {
    const { port } = await serve((_req, res) => res.setHeader('connection', 'close').end())
    const guarded = egress({
      allowPrivateTargets: ['in.example', '169.254.0.0/16'],
      resolve: resolver(['127.0.0.1'], ['169.254.169.254']),
    })
    const url = `http://in.example:${port}/`
    expect((await guarded.request(url, { timeoutMs: 1_000 })).status).toBe(200)
    await expect(guarded.request(url, { timeoutMs: 1_000 })).rejects.toThrow('169.254.169.254 is a metadata address')
  })

  it('resolves a name once for the connections that wait for it', async () => {
    const { port } = await serve(answerOk)
    let calls = 0
    const resolve = async () => {
      calls += 1
      return [{ address: '127.0.0.1', family: 4 }]
    }
    const guarded = egress({ allowPrivateTargets: ['in.example'], resolve })
    const url = `http://in.example:${port}/`
    await Promise.all(Array.from({ length: 10 }, () => guarded.request(url, { timeoutMs: 1_000 })))
    expect(calls).toBe(1)
  })

  it('resolves localhost by the system', async () => {
    const { port } = await serve(answerOk)
    const guarded = egress({ allowPrivateTargets: ['localhost'] })
    expect((await guarded.request(`http://localhost:${port}/`, { timeoutMs: 1_000 })).status).toBe(200)
  })
})

describe('a request', () => {
  const local = (options: Partial<EgressOptions> = {}) => egress({ allowPrivateTargets: ['127.0.0.1'], ...options })

  it('carries method, path, query, headers and body, and brings back status, headers and body', async () => {
    const { port } = await serve((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk) => chunks.push(chunk))
      req.on('end', () => {
        res.writeHead(418, { 'x-one': 'a', 'set-cookie': ['b=1', 'c=2'] })
        res.end(JSON.stringify([req.method, req.url, req.headers['x-two'], Buffer.concat(chunks).toString()]))
      })
    })
    const response = await local().request(`http://127.0.0.1:${port}/p/ä?q=1`, {
      method: 'PUT',
      headers: { 'x-two': 'zwei' },
      body: 'größe',
      timeoutMs: 1_000,
    })
    expect(response.status).toBe(418)
    expect(response.headers).toMatchObject({ 'x-one': 'a', 'set-cookie': 'b=1,c=2' })
    expect(JSON.parse(response.body.toString())).toEqual(['PUT', '/p/%C3%A4?q=1', 'zwei', 'größe'])
    expect(response.truncated).toBe(false)
  })

  it('keeps as many connections as there are requests at a time', async () => {
    const { port, seen } = await serve(answerOk)
    const guarded = local()
    const inTurn = async () => {
      for (let n = 0; n < 20; n += 1) await guarded.request(`http://127.0.0.1:${port}/`, { timeoutMs: 1_000 })
    }
    await Promise.all([inTurn(), inTurn(), inTurn()])
    expect(seen).toEqual({ connections: 3, requests: 60 })
  })

  it('does not follow a redirect', async () => {
    const { port, seen } = await serve((_req, res) => res.writeHead(307, { location: '/again' }).end())
    const response = await local().request(`http://127.0.0.1:${port}/`, { method: 'POST', timeoutMs: 1_000 })
    expect(response).toMatchObject({ status: 307, headers: { location: '/again' } })
    expect(seen.requests).toBe(1)
  })

  it('passes over 1xx to the answer', async () => {
    const { port } = await serve((_req, res) => {
      res.writeEarlyHints({ link: '</a>; rel=preload' })
      res.writeHead(204).end()
    })
    expect((await local().request(`http://127.0.0.1:${port}/`, { timeoutMs: 1_000 })).status).toBe(204)
  })

  it.each([
    [100, 100, false],
    [101, 100, true],
    [10_000_000, 65_536, true],
  ])('cuts a body of %i at %i', async (length, bound, truncated) => {
    const { port } = await serve((_req, res) => res.end(Buffer.alloc(length, 'x')))
    const response = await local().request(`http://127.0.0.1:${port}/`, {
      timeoutMs: 5_000,
      ...(bound === 65_536 ? {} : { maxResponseBytes: bound }),
    })
    expect(response).toMatchObject({ status: 200, truncated })
    expect(response.body.length).toBe(Math.min(length, bound))
  })

  it('closes the connection of a body that never ends', async () => {
    const closed = Promise.withResolvers<void>()
    const { port } = await serve((_req, res) => {
      const drip = setInterval(() => res.write(Buffer.alloc(1_000)), 1)
      res.on('close', () => {
        clearInterval(drip)
        closed.resolve()
      })
    })
    const response = await local().request(`http://127.0.0.1:${port}/`, { timeoutMs: 5_000, maxResponseBytes: 5_000 })
    expect(response.truncated).toBe(true)
    await closed.promise
  })

  it.each<[string, RequestListener]>([
    ['no headers come', () => {}],
    ['the body stalls', (_req, res) => void res.writeHead(200).write('half')],
    [
      'the body drips',
      (_req, res) => {
        const drip = setInterval(() => res.write('.'), 20)
        res.on('close', () => clearInterval(drip))
      },
    ],
  ])('times out as unanswered when %s', async (_what, listener) => {
    const { port } = await serve(listener)
    const started = performance.now()
    const request = local().request(`http://127.0.0.1:${port}/?token=hidden`, { timeoutMs: 150 })
    await expect(request).rejects.toThrow(new EgressUnanswered(`127.0.0.1:${port}`, 'timed out after 150 ms'))
    await expect(request).rejects.toThrow(EgressUnanswered)
    expect(performance.now() - started).toBeLessThan(2_000)
  })

  it('times out as unsent while the name is still being resolved, and sends nothing afterwards', async () => {
    const { port, seen } = await serve(answerOk)
    const answer = Promise.withResolvers<{ address: string; family: number }[]>()
    const guarded = egress({ allowPrivateTargets: ['in.example'], resolve: () => answer.promise })
    const url = `http://in.example:${port}/`
    await expect(guarded.request(url, { method: 'POST', timeoutMs: 50 })).rejects.toThrow(EgressUnsent)
    const other = guarded.request(url, { timeoutMs: 1_000 })
    answer.resolve([{ address: '127.0.0.1', family: 4 }])
    expect((await other).status).toBe(200)
    expect(seen.requests).toBe(1)
  })

  it.each<[string, (port: number) => Partial<EgressOptions> & { url: string }]>([
    ['the port is closed', () => ({ url: 'http://127.0.0.1:1/' })],
    ['TLS meets none', (port) => ({ url: `https://127.0.0.1:${port}/` })],
    [
      'the name does not exist',
      () => ({
        url: 'https://gone.example/?token=hidden',
        resolve: async () => {
          throw Object.assign(new Error('getaddrinfo ENOTFOUND gone.example'), { code: 'ENOTFOUND' })
        },
      }),
    ],
    ['the name has no address', () => ({ url: 'https://gone.example/', resolve: async () => [] })],
  ])('is unsent when %s', async (_what, make) => {
    const { port, seen } = await serve(answerOk)
    const { url, ...options } = make(port)
    const request = local(options).request(url, { timeoutMs: 1_000 })
    await expect(request).rejects.toThrow(EgressUnsent)
    await expect(request).rejects.not.toThrow('hidden')
    expect(seen.requests).toBe(0)
  })

  it('is unsent when the connection does not come about in time', async () => {
    // Takes connections and says nothing, so that TLS never ends.
    const server = createTcpServer(() => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => server.close())
    const { port } = server.address() as AddressInfo
    const request = local({ connectTimeoutMs: 100 }).request(`https://127.0.0.1:${port}/`, { timeoutMs: 5_000 })
    await expect(request).rejects.toThrow(new EgressUnsent(`127.0.0.1:${port}`, 'the connection timed out'))
  })

  it.each<[string, RequestListener]>([
    ['breaks before the headers', (req) => void req.socket.destroy()],
    [
      'breaks within the body',
      (req, res) => {
        res.writeHead(200, { 'content-length': '100' }).write('half', () => req.socket.destroy())
      },
    ],
    ['answers no HTTP', (req) => void req.socket.end('garbage of the far side\r\n\r\n')],
  ])('is unanswered when the connection %s', async (_what, listener) => {
    const { port, seen } = await serve(listener)
    const request = local().request(`http://127.0.0.1:${port}/`, { method: 'POST', body: '{}', timeoutMs: 1_000 })
    await expect(request).rejects.toThrow(EgressUnanswered)
    await expect(request).rejects.not.toThrow('far side')
    expect(seen.requests).toBe(1)
  })

  it('ends at once when aborted: unanswered once sent, unsent before', async () => {
    const arrived = Promise.withResolvers<void>()
    const { port, seen } = await serve(() => arrived.resolve())
    const guarded = local()
    const abort = new AbortController()
    const url = `http://127.0.0.1:${port}/`
    const request = guarded.request(url, { timeoutMs: 60_000, signal: abort.signal })
    await arrived.promise
    abort.abort()
    await expect(request).rejects.toThrow(EgressUnanswered)
    await expect(guarded.request(url, { timeoutMs: 1_000, signal: abort.signal })).rejects.toThrow(EgressUnsent)
    expect(seen.requests).toBe(1)
  })

  it('goes on with others of its origin while one hangs', async () => {
    const { port } = await serve((req, res) => void (req.url === '/hang' || res.end()))
    const guarded = local()
    const hanging = guarded.request(`http://127.0.0.1:${port}/hang`, { timeoutMs: 60_000 })
    const others = Array.from({ length: 20 }, () => guarded.request(`http://127.0.0.1:${port}/`, { timeoutMs: 2_000 }))
    expect((await Promise.all(others)).every(({ status }) => status === 200)).toBe(true)
    await guarded.close()
    await expect(hanging).rejects.toThrow(EgressUnanswered)
  })

  it('lets a header that cannot be sent through as a bug, without its value', async () => {
    const { port } = await serve(answerOk)
    const request = local().request(`http://127.0.0.1:${port}/`, {
      headers: { authorization: 'Bearer hidden\r\nx: y' },
      timeoutMs: 1_000,
    })
    await expect(request).rejects.toThrow('invalid authorization header')
    await expect(request).rejects.not.toThrow('hidden')
  })

  it('closes the connections of the origins least recently used, never those in use', async () => {
    const guarded = local({ maxPools: 2 })
    const arrived = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    const slow = await serve(async (_req, res) => {
      arrived.resolve()
      await held.promise
      res.end('late')
    })
    const request = guarded.request(`http://127.0.0.1:${slow.port}/`, { timeoutMs: 5_000 })
    await arrived.promise
    const others = await Promise.all([serve(answerOk), serve(answerOk), serve(answerOk)])
    const closed = others.map(({ server }) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      server.on('connection', (socket) => socket.on('close', () => resolve()))
      return promise
    })
    for (const { port } of others) await guarded.request(`http://127.0.0.1:${port}/`, { timeoutMs: 1_000 })
    await Promise.all(closed.slice(0, 2))
    held.resolve()
    expect((await request).body.toString()).toBe('late')
  })

  it('is unsent once the door is closed', async () => {
    const { port } = await serve(answerOk)
    const guarded = local()
    await guarded.close()
    await expect(guarded.request(`http://127.0.0.1:${port}/`, { timeoutMs: 1_000 })).rejects.toThrow('shutting down')
  })
})
