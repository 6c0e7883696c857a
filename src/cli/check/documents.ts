import { type DoubtId, doubt, type Finding, isDoubt } from './findings.ts'
import type { Answer, Requests } from './requests.ts'

export type Fields = Readonly<Record<string, unknown>>

export interface Found {
  /** The first document that was there. */
  readonly document: { readonly url: string; readonly fields: Fields } | undefined
  readonly findings: readonly Finding[]
}

export interface Candidates {
  /** Where it is said to be; there, nothing but the document will do. */
  readonly named?: string | undefined
  /** Where it may be, the likeliest first; a 4xx sends the client on to the next. */
  readonly wellKnown: readonly string[]
  /** What is wrong when it is nowhere. */
  readonly missing: DoubtId
}

/** Reads one metadata document as an MCP client looks for it. */
export async function findDocument(requests: Requests, { named, wellKnown, missing }: Candidates): Promise<Found> {
  const findings: Finding[] = []
  const absent: string[] = []
  for (const url of new Set([...(named === undefined ? [] : [named]), ...wellKnown])) {
    const answer = await requests.ask(url, { headers: { accept: 'application/json' } })
    if (isDoubt(answer)) {
      findings.push(answer)
      if (answer.id === 'redirect' || answer.id === 'redirect-to-private' || url === named) continue
      return { document: undefined, findings }
    }
    if (answer.status >= 400 && answer.status < 500 && url !== named) {
      absent.push(`${answer.status} at ${url}`)
      continue
    }
    const read = readDocument(url, answer)
    findings.push(...read.findings)
    if (read.fields !== undefined) return { document: { url, fields: read.fields }, findings }
  }
  return { document: undefined, findings: [...findings, doubt(missing, absent.join(', ') || 'none can be read')] }
}

function readDocument(url: string, answer: Answer): { fields?: Fields; findings: Finding[] } {
  if (answer.status !== 200) return { findings: [doubt('metadata-status', `${answer.status} at ${url}`)] }
  if (answer.truncated) return { findings: [doubt('metadata-too-large', `${url} goes on beyond 64 KiB`)] }
  const fields = readObject(answer.body)
  const type = answer.headers['content-type'] ?? 'no content-type'
  if (fields === undefined) return { findings: [doubt('metadata-not-json', `${url} (${type})`)] }
  const isJson = /^application\/([\w.-]+\+)?json\b/i.test(type)
  return { fields, findings: isJson ? [] : [doubt('metadata-content-type', `${type} at ${url}`)] }
}

/** A JSON object, or nothing. */
export function readObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

/** A field as a list of texts; what is not one is as good as absent. */
export function textsIn(fields: Fields, name: string): readonly string[] | undefined {
  const value = fields[name]
  return Array.isArray(value) && value.every((each) => typeof each === 'string') ? value : undefined
}

export function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Without the host where that goes without saying. */
export function shownFrom(url: string, origin: string): string {
  return url.startsWith(`${origin}/`) ? url.slice(origin.length) : url
}

/** `/.well-known/<name>` put between host and path (RFC 8414 §3.1, RFC 9728 §3.1); a query stays behind it. */
export function wellKnownOf(url: URL, name: string): string {
  return `${url.origin}/.well-known/${name}${url.pathname.replace(/\/$/, '')}${url.search}`
}
