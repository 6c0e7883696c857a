import type { Request, Response } from 'express'
import type { LogEvent } from '../../../src/demo/okta-events.ts'

/** An org's System Log: entries in the order in which they were written down, which is not that of `published`. */
export interface SystemLog {
  readonly entries: readonly LogEvent[]
  append(event: LogEvent): void
  /** From now on entries happen and are not written down, until `catchUp`. */
  fallBehind(): void
  catchUp(): void
  /** `GET /api/v1/logs`, for whoever may. */
  answer(req: Request, res: Response): void
  /** Places in the log that were handed out before are no longer known. */
  forgetCursors(): void
}

interface Entry {
  readonly event: LogEvent
  readonly writtenAt: string
}

const defaultLimit = 100
const mostPerPage = 1_000

export function createSystemLog(orgUrl: () => string): SystemLog {
  const entries: Entry[] = []
  let late: LogEvent[] | undefined
  let generation = 0

  function write(event: LogEvent): void {
    entries.push({ event, writtenAt: new Date().toISOString() })
  }

  /** With `since` alone, ascending: whatever is written down from then on, whenever that is; there is always a next page. */
  function poll(query: URLSearchParams, wants: (event: LogEvent) => boolean, limit: number) {
    const after = query.get('after')
    const [of, place] = (after ?? '').split('_').map(Number)
    if (after !== null && of !== generation) return undefined
    const first = entries.findIndex(({ writtenAt }) => writtenAt >= query.get('since')!)
    const page: LogEvent[] = []
    let at = after !== null ? place! : first < 0 ? entries.length : first
    for (; at < entries.length && page.length < limit; at++)
      if (wants(entries[at]!.event)) page.push(entries[at]!.event)
    return { page, next: `${generation}_${at}` }
  }

  /** Between two times of `published`, in their order: what is written down late may be missed. */
  function read(query: URLSearchParams, wants: (event: LogEvent) => boolean, limit: number) {
    const [since, until] = [query.get('since') ?? '', query.get('until') ?? '9']
    const found = entries
      .map(({ event }) => event)
      .filter((event) => wants(event) && event.published >= since && event.published < until)
      .toSorted((a, b) => (a.published < b.published ? -1 : 1))
    if (query.get('sortOrder') !== 'ASCENDING') found.reverse()
    const from = Number(query.get('after') ?? 0)
    const page = found.slice(from, from + limit)
    return { page, next: from + page.length < found.length ? String(from + page.length) : undefined }
  }

  return {
    get entries() {
      return entries.map(({ event }) => event)
    },
    append(event) {
      if (late) late.push(event)
      else write(event)
    },
    fallBehind() {
      late ??= []
    },
    catchUp() {
      for (const event of late ?? []) write(event)
      late = undefined
    },
    forgetCursors() {
      generation++
    },
    answer(req, res) {
      const url = new URL(req.originalUrl, orgUrl())
      const query = url.searchParams
      const wants = parseFilter(query.get('filter'))
      const limit = Number(query.get('limit') ?? defaultLimit)
      if (!wants) return refuse(res, 400, 'E0000031', 'Invalid search criteria.')
      if (!(limit >= 0 && limit <= mostPerPage)) return refuse(res, 400, 'E0000001', 'Api validation failed: limit')
      const polls = query.has('since') && !query.has('until') && query.get('sortOrder') === 'ASCENDING'
      const found = (polls ? poll : read)(query, wants, limit)
      if (!found) return refuse(res, 400, 'E0000001', 'Api validation failed: after')
      const links = [`<${url.href}>; rel="self"`]
      if (found.next !== undefined) {
        url.searchParams.set('after', found.next)
        links.push(`<${url.href}>; rel="next"`)
      }
      res.setHeader('Link', links)
      res.json(found.page)
    },
  }
}

export function refuse(res: Response, status: number, errorCode: string, errorSummary: string): void {
  res.status(status).json({ errorCode, errorSummary, errorLink: errorCode, errorId: 'oae', errorCauses: [] })
}

/** As much of the filter language as is asked of it. Undefined: not understood. */
function parseFilter(text: string | null): ((event: LogEvent) => boolean) | undefined {
  if (text === null) return () => true
  const types = text.split(' or ').map((part) => /^eventType eq "([\w.]+)"$/.exec(part)?.[1])
  return types.includes(undefined) ? undefined : ({ eventType }) => types.includes(eventType)
}
