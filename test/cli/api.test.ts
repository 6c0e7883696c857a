import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Api } from '../../src/cli/api.ts'

const adminKey = 'an-admin-key-that-nobody-may-see'
let answer: (req: IncomingMessage, res: ServerResponse) => void = () => {}
const server = createServer((req, res) => answer(req, res))
let api: Api

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  api = new Api({ url, adminKey, adminKeySource: 'TENURE_ADMIN_KEY' })
})
afterAll(() => void server.close())

describe('the API client', () => {
  it('follows pages that are shorter than it asked for, and asks for no more than is wanted', async () => {
    const asked: string[] = []
    answer = (req, res) => {
      const { searchParams } = new URL(req.url!, 'http://x')
      asked.push(`${searchParams.get('limit')} after ${searchParams.get('cursor')}`)
      const from = Number(searchParams.get('cursor') ?? 0)
      const items = [from, from + 1].slice(0, Number(searchParams.get('limit')))
      res.end(JSON.stringify({ items, next: from >= 6 ? null : String(from + items.length) }))
    }
    expect(await api.list('/users', { directory: 'acme' }, 3)).toEqual({ items: [0, 1, 2], next: '3' })
    expect(asked).toEqual(['3 after null', '1 after 2'])
    expect(await api.list('/users', {}, 5_000)).toEqual({ items: [0, 1, 2, 3, 4, 5, 6, 7], next: null })
    expect(asked[2]).toBe('1000 after null')
  })

  it('puts the reasons of each field under the problem, with a mark where a text went wrong', async () => {
    answer = (_req, res) => {
      const errors = [
        { field: 'when', message: 'expected a value', position: 9 },
        { field: 'scopes.0', message: 'must be a scope token' },
      ]
      res.writeHead(422).end(JSON.stringify({ title: 'Unprocessable Content', detail: 'It cannot be used', errors }))
    }
    await expect(api.put('/rules/x', { when: 'active eq', scopes: [' '] })).rejects.toMatchObject({
      message: 'It cannot be used (422)',
      exitCode: 1,
      lines: ['  when: expected a value', '    active eq', '             ^', '  scopes.0: must be a scope token'],
    })
  })

  it('does not take a redirect, which would carry the key along', async () => {
    let requests = 0
    answer = (_req, res) => {
      requests++
      res.writeHead(302, { location: '/elsewhere' }).end()
    }
    await expect(api.get('/stats')).rejects.toMatchObject({
      message: expect.stringContaining('redirects to /elsewhere'),
      exitCode: 4,
    })
    expect(requests).toBe(1)
  })

  it.each([
    ['the page of a proxy', 502, '<html>Bad Gateway</html>'],
    ['a page that is no JSON', 200, 'hello'],
  ])('takes %s for something else than Tenure', async (_what, status, body) => {
    answer = (_req, res) => void res.writeHead(status).end(body)
    await expect(api.get('/stats')).rejects.toMatchObject({
      message: expect.stringMatching(/answered \d+, which is not Tenure's admin API$/),
      exitCode: 4,
    })
  })

  it('says that Tenure is out of reach when the answer breaks off', async () => {
    answer = (_req, res) => {
      res.writeHead(200, { 'content-length': 100 }).write('{')
      setImmediate(() => res.destroy())
    }
    await expect(api.get('/stats')).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/^cannot reach Tenure at .*: /),
    })
  })

  it('shows what a stranger answers as plain text, and its own key never', async () => {
    answer = (req, res) => {
      res.writeHead(401).end(JSON.stringify({ detail: `\u001b[2Jno ${req.headers.authorization === undefined}` }))
    }
    const refused = await api.get('/stats').catch((error: Error) => error)
    expect(refused).toMatchObject({ message: ' [2Jno false (401); the key is from TENURE_ADMIN_KEY' })
    expect(JSON.stringify(refused)).not.toContain(adminKey)
  })

  it('takes an empty answer for done', async () => {
    answer = (_req, res) => void res.writeHead(204).end()
    expect(await api.delete('/rules/x')).toBeUndefined()
  })
})
