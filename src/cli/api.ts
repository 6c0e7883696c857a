import type { CliConfig } from '../config.ts'
import { CliError, exitCodes } from './cli-error.ts'
import { plain } from './plain.ts'

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface Listed<T> {
  readonly items: readonly T[]
  readonly next: string | null
}

/** RFC 9457, as Tenure fills it in. */
interface Problem {
  readonly title?: string
  readonly detail?: string
  readonly errors?: ReadonlyArray<{
    field: string
    message: string
    position?: number
  }>
}

/** A directory of a hundred thousand people takes a while to leave. */
const timeoutMs = 120_000
const largestPage = 1_000

/**
 * The operators' API over HTTP. What Tenure refuses, and what keeps it from being asked, is a CliError; the key goes
 * into the header and nowhere else.
 */
export class Api {
  readonly #url: string
  readonly #adminKey: string
  readonly #keySource: string

  constructor({ url, adminKey, adminKeySource }: CliConfig) {
    this.#url = url
    this.#adminKey = adminKey
    this.#keySource = adminKeySource
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#send('GET', path, query) as Promise<T>
  }

  post<T>(path: string, body: object = {}, query: Query = {}): Promise<T> {
    return this.#send('POST', path, query, body) as Promise<T>
  }

  put<T>(path: string, body: object, query: Query = {}): Promise<T> {
    return this.#send('PUT', path, query, body) as Promise<T>
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#send('PATCH', path, {}, body) as Promise<T>
  }

  delete<T>(path: string, query: Query = {}): Promise<T> {
    return this.#send('DELETE', path, query) as Promise<T>
  }

  /** Page after page until there are `limit` items or no more; `next` is what a further page would start after. */
  async list<T>(path: string, query: Query, limit: number): Promise<Listed<T>> {
    const items: T[] = []
    let next: string | null = null
    do {
      const page: Listed<T> = await this.get(path, {
        ...query,
        limit: Math.min(largestPage, limit - items.length),
        cursor: next ?? undefined,
      })
      items.push(...page.items)
      next = page.next
    } while (next !== null && items.length < limit)
    return { items, next }
  }

  async #send(method: string, path: string, query: Query, body?: object): Promise<unknown> {
    const url = `${this.#url}/admin/v1${path}${search(query)}`
    let response: Response
    let text: string
    try {
      response = await fetch(url, {
        method,
        headers: {
          authorization: `Bearer ${this.#adminKey}`,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        // A redirect would take the key along, or turn a POST into a GET.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      })
      text = await response.text()
    } catch (error) {
      throw new CliError(`cannot reach Tenure at ${this.#url}: ${whyUnreached(error)}`, exitCodes.unreachable)
    }
    if (response.ok && text === '') return undefined
    const answer = parse(text)
    if (response.ok && answer !== undefined) return answer
    if (typeof answer !== 'object' || answer === null) throw this.#foreign(response)
    throw this.#refused(response.status, answer, body)
  }

  #refused(status: number, { title, detail, errors = [] }: Problem, body: object | undefined): CliError {
    const reason = plain(detail ?? title ?? `it answered ${status}`)
    const hint = status === 401 ? `; the key is from ${this.#keySource}` : ''
    const lines = errors.flatMap(({ field, message, position }) => [
      `  ${plain(field)}: ${plain(message)}`,
      ...pointAt(body, field, position),
    ])
    return new CliError(`${reason} (${status})${hint}`, exitCodes.failed, lines)
  }

  /** Not a word of Tenure's: a proxy, or something else altogether. */
  #foreign(response: Response): CliError {
    const location = response.headers.get('location')
    const what = location === null ? `answered ${response.status}` : `redirects to ${plain(location)}`
    return new CliError(`${this.#url} ${what}, which is not Tenure's admin API`, exitCodes.unreachable)
  }
}

/** An id as a part of a path. */
export function segment(id: string): string {
  return encodeURIComponent(id)
}

function search(query: Query): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value))
  const text = given.toString()
  return text === '' ? '' : `?${text}`
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The text that was sent, and a mark under the place where it went wrong. */
function pointAt(body: object | undefined, field: string, position: number | undefined): string[] {
  const text: unknown = body === undefined ? undefined : (body as Record<string, unknown>)[field]
  if (typeof text !== 'string' || position === undefined || position > text.length) return []
  return [`    ${plain(text)}`, `    ${' '.repeat(position)}^`]
}

function whyUnreached(error: unknown): string {
  if (!(error instanceof Error)) return 'the request failed'
  if (error.name === 'TimeoutError')
    return `no answer within ${timeoutMs / 1_000} s; what was asked for may still be under way`
  const code = codeOf(error)
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'there is no such host'
    case undefined:
      return 'the connection failed'
    default:
      return `the connection failed (${code})`
  }
}

/** `fetch` hides the reason in a chain of causes; several addresses fail as an AggregateError. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'string') return error.code
  return codeOf(error instanceof AggregateError ? error.errors[0] : error.cause)
}
