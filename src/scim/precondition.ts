import { ScimError } from './errors.ts'

/** The entity tag of a version, in `ETag` and in `meta.version` (RFC 7644 §3.14). Weak: what is derived, as a user's groups are, has no say in it. */
export function entityTag(version: number): string {
  return `W/"${version}"`
}

/**
 * `If-Match` of a write, which only the one who holds the resource's lock may ask. Compared weakly, since all tags here
 * are weak ones; a tag that cannot be read matches nothing.
 *
 * @throws ScimError 412
 */
export function requireMatch(ifMatch: string | undefined, { version }: { readonly version: number }): void {
  if (ifMatch === undefined || names(ifMatch, version)) return
  throw new ScimError(412, undefined, `The resource has changed: it is at version ${entityTag(version)}`)
}

/** `If-None-Match` of a GET: the client has this version, or any (`*`). */
export function isKnown(ifNoneMatch: string | undefined, { version }: { readonly version: number }): boolean {
  return ifNoneMatch !== undefined && names(ifNoneMatch, version)
}

function names(header: string, version: number): boolean {
  if (header.trim() === '*') return true
  return [...header.matchAll(/(?:W\/)?"([^"]*)"/g)].some(([, tag]) => tag === String(version))
}
