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
