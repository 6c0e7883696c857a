/** The JSON object that an answer is; undefined for anything else. */
export function parseObject(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

export type Json = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * The JSON object that was signed; undefined for anything else. It reads in one way only: UTF-8, with no member twice
 * (RFC 8259 §4: of two, readers differ in which one counts), and every text can be stored by Postgres.
 */
export function parseStrictly(body: Uint8Array): Json | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    const value: unknown = JSON.parse(text, requireStorable)
    return isObject(value) && !hasMemberTwice(text) ? value : undefined
  } catch {
    return undefined
  }
}

function requireStorable(name: string, value: unknown): unknown {
  for (const text of [name, value])
    if (typeof text === 'string' && (text.includes('\0') || !text.isWellFormed())) throw new SyntaxError('not a text')
  return value
}

/** `text` is JSON. */
function hasMemberTwice(text: string): boolean {
  const open: Array<Set<string>> = []
  for (const [lexeme, name] of text.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]/g)) {
    if (lexeme === '{') open.push(new Set())
    else if (lexeme === '}') open.pop()
    else if (name !== undefined) {
      const names = open.at(-1)!
      const plain = JSON.parse(name)
      if (names.has(plain)) return true
      names.add(plain)
    }
  }
  return false
}
