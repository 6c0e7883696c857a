import { randomUUID } from 'node:crypto'
import type { RequestHandler } from 'express'
import { forFlatLines, type Logger } from '../log.ts'

declare global {
  namespace Express {
    interface Request {
      id: string
      log: Logger
      /** Ids that belong on this request's line: directoryId, tokenId, userId, … Never names, never secrets. */
      facts: Record<string, unknown>
    }
  }
}

/** One wide line per request, written when it ends; paths with their parameters, never queries or bodies. */
export function requestLog(log: Logger): RequestHandler {
  const lines = forFlatLines(log)
  return (req, res, next) => {
    const start = performance.now()
    req.id = randomUUID()
    req.facts = {}
    Object.defineProperty(req, 'log', { get: () => log.child({ requestId: req.id }) })
    res.once('close', () => {
      const line = {
        requestId: req.id,
        method: req.method,
        path: req.originalUrl.split('?', 1)[0],
        status: res.statusCode,
        ms: Math.round((performance.now() - start) * 10) / 10,
        ...(res.writableFinished ? {} : { aborted: true }),
        ...req.facts,
      }
      lines[res.statusCode >= 500 ? 'error' : 'info'](line, 'request.served')
    })
    next()
  }
}
