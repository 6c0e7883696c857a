import { FilterError } from './errors.ts'
import { type Lexeme, lex } from './lex.ts'

/** More than any identity provider sends and few enough that neither our recursion nor a query plan can be hurt. */
export const limits = { length: 4096, depth: 32, terms: 64 } as const

/** What stood where a placeholder now stands. A value is `quoted` or a bare word. */
export interface Placeholder {
  readonly text: string
  readonly position: number
  readonly quoted: boolean
}

export interface Guarded {
  /** The filter with `p0`, `p1`, … for paths, `q2` for a sub-attribute after `]`, and `"3"` for the values. */
  readonly rewritten: string
  readonly placeholders: readonly Placeholder[]
}

const comparisons = new Set(['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'])
const reserved = new Set([...comparisons, 'pr', 'and', 'or', 'not'])
const PATH = /^[A-Za-z$_][\w$\-.:/%]*$/
const BARE_VALUE = /^[^'{},\\]+$/

type Expected = 'expression' | 'operator' | 'value' | 'connective'

/**
 * Checks the grammar of RFC 7644 §3.4.2.2 word by word, so that every mistake has a position, and bounds length, depth
 * and terms before the recursive parser runs. Paths and values leave as placeholders: the parser then meets neither
 * escapes nor `$ref` nor bare words, which it misreads, and cannot confuse `a[…].b eq 1` with `a[…] and a.b eq 1`.
 * `strict`: nothing beyond the RFC's grammar.
 */
export function guard(source: string, strict = false): Guarded {
  if (source.length > limits.length) {
    throw new FilterError(`a filter may have at most ${limits.length} characters`, limits.length)
  }
  const grammar = new Grammar(strict)
  for (const lexeme of lex(source, strict)) grammar.take(lexeme)
  return { rewritten: grammar.words.join(' '), placeholders: grammar.placeholders }
}

class Grammar {
  readonly words: string[] = []
  readonly placeholders: Placeholder[] = []
  readonly #open: ('(' | '[' | 'not')[] = []
  #expected: Expected = 'expression'
  readonly #strict: boolean
  #terms = 0
  #linkable: number | undefined
  #linked = false

  constructor(strict: boolean) {
    this.#strict = strict
  }

  take(lexeme: Lexeme): void {
    const linkable = this.#linkable
    this.#linkable = undefined
    if (this.#expected === 'expression') this.#expression(lexeme)
    else if (this.#expected === 'operator') this.#operator(lexeme)
    else if (this.#expected === 'value') this.#value(lexeme)
    else if (lexeme.position === linkable && lexeme.text.startsWith('.')) this.#link(lexeme)
    else this.#connective(lexeme)
  }

  #expression(lexeme: Lexeme): void {
    const word = lexeme.text.toLowerCase()
    if (lexeme.kind === '(') this.#push('(', lexeme)
    else if (this.#strict && this.#open.at(-1) === 'not') throw expected('"("', lexeme)
    else if (lexeme.kind === 'word' && word === 'not') this.#push('not', lexeme)
    else this.#path(lexeme)
  }

  #path(lexeme: Lexeme): void {
    if (lexeme.kind !== 'word' || !PATH.test(lexeme.text) || reserved.has(lexeme.text.toLowerCase())) {
      throw expected('an attribute name', lexeme)
    }
    this.#term(lexeme)
    this.words.push(`p${this.#hold(lexeme.text, lexeme.position, false)}`)
    this.#linked = false
    this.#expected = 'operator'
  }

  #operator(lexeme: Lexeme): void {
    const word = lexeme.text.toLowerCase()
    if (lexeme.kind === '[' && !this.#linked && !this.#open.includes('[')) {
      this.#push('[', lexeme)
      return
    }
    if (lexeme.kind !== 'word' || (word !== 'pr' && !comparisons.has(word))) throw expected('an operator', lexeme)
    this.words.push(word)
    if (word === 'pr') this.#close()
    else this.#expected = 'value'
  }

  #value(lexeme: Lexeme): void {
    const quoted = lexeme.kind === 'string'
    const bare = lexeme.kind === 'word' && BARE_VALUE.test(lexeme.text) && !reserved.has(lexeme.text.toLowerCase())
    if (!quoted && !bare) throw expected('a value in double quotes', lexeme)
    this.words.push(`"${this.#hold(lexeme.text, lexeme.position, quoted)}"`)
    this.#close()
  }

  #connective(lexeme: Lexeme): void {
    const word = lexeme.text.toLowerCase()
    if (lexeme.kind === 'word' && (word === 'and' || word === 'or')) {
      this.words.push(word)
      this.#expected = 'expression'
      return
    }
    const open = this.#open.at(-1)
    if ((lexeme.kind === ')' && open === '(') || (lexeme.kind === ']' && open === '[')) {
      this.words.push(lexeme.kind)
      this.#open.pop()
      this.#close()
      if (lexeme.kind === ']' && !this.#strict) this.#linkable = lexeme.position + 1
      return
    }
    if (lexeme.kind === 'end' && open === undefined) return
    throw expected(open === undefined ? '"and" or "or"' : `"and", "or" or "${open === '(' ? ')' : ']'}"`, lexeme)
  }

  /** `emails[type eq "work"].value eq "x"`: not in the RFC's grammar, but what Entra sends to match a user. */
  #link(lexeme: Lexeme): void {
    const name = lexeme.text.slice(1)
    if (!PATH.test(name)) throw expected('a sub-attribute name', lexeme)
    this.#term(lexeme)
    this.words.pop()
    this.words.push(`].q${this.#hold(name, lexeme.position + 1, false)}`)
    this.#linked = true
    this.#expected = 'operator'
  }

  #push(open: '(' | '[' | 'not', lexeme: Lexeme): void {
    this.#open.push(open)
    if (this.#open.length > limits.depth) {
      throw new FilterError(`a filter may nest at most ${limits.depth} deep`, lexeme.position)
    }
    this.words.push(open)
    this.#expected = 'expression'
  }

  #close(): void {
    while (this.#open.at(-1) === 'not') this.#open.pop()
    this.#expected = 'connective'
  }

  #term(lexeme: Lexeme): void {
    this.#terms += 1
    if (this.#terms > limits.terms) {
      throw new FilterError(`a filter may have at most ${limits.terms} terms`, lexeme.position)
    }
  }

  #hold(text: string, position: number, quoted: boolean): number {
    return this.placeholders.push({ text, position, quoted }) - 1
  }
}

function expected(what: string, lexeme: Lexeme): FilterError {
  const found = lexeme.kind === 'end' ? 'the end of the filter' : `"${lexeme.text.slice(0, 40)}"`
  return new FilterError(`expected ${what}, found ${found}`, lexeme.position)
}
