import type { Request } from 'express'

/** The token of `Authorization: Bearer` (RFC 6750 §2.1), if there is one. */
export function bearerOf(req: Request): string | undefined {
  return /^Bearer +([^\s]+)\s*$/i.exec(req.get('authorization') ?? '')?.[1]
}

export interface BasicCredentials {
  readonly id: string
  readonly secret: string
}

/**
 * `Authorization: Basic` (RFC 6749 §2.3.1). Split at the last colon, because an id may be a URL; our own ids and secrets
 * use no character that form-decoding changes, so whether the sender encoded them makes no difference.
 */
export function basicOf(req: Request): BasicCredentials | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)\s*$/i.exec(req.get('authorization') ?? '')?.[1]
  if (!encoded) return undefined
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  if (text.includes('\0')) return undefined
  const colon = text.lastIndexOf(':')
  return colon < 1 ? undefined : { id: text.slice(0, colon), secret: text.slice(colon + 1) }
}

/**
 * The readings of `Authorization: Basic`, in the order in which to try them: as it was sent, and form-decoded where that
 * makes a difference. RFC 6749 §2.3.1 asks for the encoding; MCP clients with a URL for an id do either.
 */
export function basicReadingsOf(req: Request): BasicCredentials[] {
  const sent = basicOf(req)
  if (!sent) return []
  const decoded = { id: formDecoded(sent.id), secret: formDecoded(sent.secret) }
  return decoded.id === sent.id && decoded.secret === sent.secret ? [sent] : [sent, decoded]
}

function formDecoded(text: string): string {
  try {
    const decoded = decodeURIComponent(text.replaceAll('+', ' '))
    return decoded.includes('\0') ? text : decoded
  } catch {
    return text
  }
}
