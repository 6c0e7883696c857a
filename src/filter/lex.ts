import { FilterError } from './errors.ts'

export interface Lexeme {
  readonly kind: 'word' | 'string' | '(' | ')' | '[' | ']' | 'end'
  /** The decoded value of a string, the source text of anything else. */
  readonly text: string
  readonly position: number
}

const WORD = /[^\s()[\]"]+/y
const SPACE = /\s+/y

/** Whether Postgres can hold the text: no NUL, no half of a surrogate pair. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

/**
 * Splits a filter into words, strings and brackets; what a word means depends on where it stands. `strict`: a string is
 * one of JSON.
 */
export function lex(source: string, strict = false): Lexeme[] {
  const lexemes: Lexeme[] = []
  let position = 0
  while (position < source.length) {
    const skipped = match(SPACE, source, position)
    if (skipped !== undefined) {
      position += skipped.length
      continue
    }
    const char = source.charAt(position)
    if (char === '"') {
      const end = endOfString(source, position)
      const text = strict
        ? decodeJson(source.slice(position, end), position)
        : decode(source.slice(position + 1, end - 1))
      lexemes.push({ kind: 'string', text, position })
      position = end
    } else if (char === '(' || char === ')' || char === '[' || char === ']') {
      lexemes.push({ kind: char, text: char, position })
      position += 1
    } else {
      const text = match(WORD, source, position) ?? char
      lexemes.push({ kind: 'word', text, position })
      position += text.length
    }
  }
  lexemes.push({ kind: 'end', text: '', position: source.length })
  return lexemes
}

function match(pattern: RegExp, source: string, position: number): string | undefined {
  pattern.lastIndex = position
  return pattern.exec(source)?.[0]
}

/** The offset after the closing quote of the string that opens at `start`. */
export function endOfString(source: string, start: number): number {
  for (let position = start + 1; position < source.length; position += 1) {
    if (source[position] === '\\') position += 1
    else if (source[position] === '"') return position + 1
  }
  throw new FilterError('expected a closing double quote', start)
}

function decodeJson(quoted: string, position: number): string {
  try {
    return JSON.parse(quoted)
  } catch (cause) {
    throw new FilterError('expected a string of JSON', position, { cause })
  }
}

const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))/g
const CONTROL: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** JSON escapes; a backslash that begins none of them is itself, since Active Directory names hold lone ones (`DOM\user`). */
function decode(raw: string): string {
  return raw.replace(ESCAPE, (_whole, hex: string | undefined, char: string) =>
    hex !== undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : (CONTROL[char] ?? char),
  )
}
