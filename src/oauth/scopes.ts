/** RFC 6749 §3.3: `scope-token *( SP scope-token )`. */
const list = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/

/** The scopes of a `scope` value, without repeats and in their order; undefined for what is none. */
export function parseScopes(text: string): string[] | undefined {
  return list.test(text) ? [...new Set(text.split(' '))] : undefined
}

/** What all of them hold, in the order of the first. */
export function intersection(first: readonly string[], ...others: ReadonlyArray<readonly string[]>): string[] {
  return first.filter((scope) => others.every((other) => other.includes(scope)))
}
