import { isUtf8 } from 'node:buffer'
import express, { type RequestHandler } from 'express'
import { requireJson } from '../http/problem.ts'
import type { RateLimit } from '../http/rate-limit.ts'
import { ScimError } from './errors.ts'
import { deepestJson, largestBodyBytes, mostJsonValues, mostNames } from './limits.ts'
import { ownerOf } from './request.ts'

/** Media types that identity providers really send (RFC 7644 §3.1 and their dialects). */
const readable = ['application/scim+json', 'application/json', 'application/*+json', 'text/json']

/** The rate of the directory's token. After authentication, before the body is read. */
export function limitRate(limit: RateLimit): RequestHandler {
  return (req, _res, next) => {
    const { tokenId, requestsPerSecond } = ownerOf(req)
    limit.take(tokenId, requestsPerSecond)
    next()
  }
}

export const readJson: RequestHandler = express.json({ type: readable, limit: largestBodyBytes, verify: screenBody })

/** After `readJson`. A GET or DELETE may carry whatever it likes: nobody reads it. */
export const requireJsonToWrite: RequestHandler = (req, res, next) => {
  if (req.method === 'GET' || req.method === 'HEAD' || req.method === 'DELETE') next()
  else requireJson(req, res, next)
}

/**
 * Before JSON is parsed: nesting, many values and many names in one object cost memory and time then. Counts what is
 * outside strings, byte by byte, which is exact in UTF-8, where no byte of a longer character looks like ASCII; hence no
 * other charset.
 *
 * @throws ScimError 415, 413, or 400 `invalidSyntax`
 */
function screenBody(_req: unknown, _res: unknown, body: Buffer, encoding: string): void {
  if (encoding !== 'utf-8') throw new ScimError(415, undefined, 'The body must be UTF-8')
  // Decoding would put U+FFFD in place of what cannot be read, and a name that nobody has would be kept.
  if (!isUtf8(body)) throw new ScimError(400, 'invalidSyntax', 'The body is not UTF-8')
  const places = new Int32Array(deepestJson + 1)
  let values = 1
  let depth = 0
  let inString = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (inString) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) inString = false
    } else if (byte === QUOTE) inString = true
    else if (byte === COMMA) {
      values++
      if (++places[depth]! >= mostNames) throw tooMany(`names in one object than ${mostNames}`)
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      values++
      if (++depth > deepestJson)
        throw new ScimError(400, 'invalidSyntax', `The body nests more than ${deepestJson} deep`)
      places[depth] = byte === OPEN_OBJECT ? 0 : uncounted
    } else if ((byte === CLOSE_LIST || byte === CLOSE_OBJECT) && depth > 0) depth--
    if (values > mostJsonValues) throw tooMany(`values than ${mostJsonValues}`)
  }
}

/** So far below that no list gets anywhere. */
const uncounted = -(2 ** 31)

function tooMany(what: string): ScimError {
  return new ScimError(413, undefined, `The body holds more ${what}`)
}

const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
