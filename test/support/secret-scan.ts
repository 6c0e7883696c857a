import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RecordedSecret } from './secret-record.ts'
import { Search, shortestNeedle } from './secret-search.ts'

export interface Leak {
  /** What the secret is, and the test file that it is of. */
  secret: string
  /** What said it, and in which test file. */
  output: string
  /** What is wrong with that, e.g. `said again`. */
  why: string
  /** The words around it, without it. */
  excerpt: string
}

export interface ScanReport {
  secrets: number
  outputBytes: number
  /** One for each secret and place, at most `mostLeaks`. */
  leaks: readonly Leak[]
}

interface Known {
  value: string
  what: string
  source: string
  shownBy: Set<string>
  timesShown: number
}

type Form = 'itself' | 'in base64' | 'URL-encoded'

interface Needle {
  secret: Known
  form: Form
}

const mostLeaks = 50
/** A shorter secret, one that a test made up, is only found as a word of its own. */
const longEnoughAnywhere = 16
const wordByte = /[\w-]/

/**
 * Holds all secrets of a recording (secret-record.ts) against all its outputs. A secret may be said once, in the one output
 * that showed it to whoever had asked for it, and nowhere else, in base64 or URL-encoded neither.
 */
export function scanRecording(folder: string): ScanReport {
  const secrets = readSecrets(folder)
  const search = new Search<Needle>()
  for (const secret of secrets) for (const [form, text] of formsOf(secret.value)) search.add(text, { secret, form })

  const leaks = new Map<string, Leak>()
  let outputBytes = 0
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.outputs'))) {
    const text = readFileSync(join(folder, file))
    outputBytes += text.length
    search.scan(text, ({ secret, form }, start, end) => {
      if (secret.value.length < longEnoughAnywhere && !isWord(text, start, end)) return
      const { id, of, from } = outputAround(text, start)
      const why = whyWrong(secret, form, id)
      const key = `${secret.value}\n${of}\n${file}`
      if (why === undefined || leaks.has(key) || leaks.size === mostLeaks) return
      leaks.set(key, {
        secret: `${secret.what} (${secret.source})`,
        output: `${of} (${sourceOf(file)})`,
        why,
        excerpt: excerpt(text, from, start, end),
      })
    })
  }
  return { secrets: secrets.length, outputBytes, leaks: [...leaks.values()].map((leak) => masked(leak, secrets)) }
}

/** For the end of a run. @throws Error that says what leaked where */
export function summarise({ secrets, outputBytes, leaks }: ScanReport): string {
  const summary = `secrets: ${secrets} secrets, ${(outputBytes / 1e6).toFixed(1)} MB of output scanned`
  if (leaks.length === 0) return `${summary}, none found`
  const lines = leaks.map((leak) => `  ${leak.secret}\n    ${leak.why} in ${leak.output}:\n    ${leak.excerpt}`)
  throw new Error(
    `${summary}, ${leaks.length === mostLeaks ? 'at least ' : ''}${leaks.length} found\n${lines.join('\n')}`,
  )
}

function readSecrets(folder: string): Known[] {
  const secrets = new Map<string, Known>()
  const innocent = new Set<string>()
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.secrets'))) {
    for (const line of readFileSync(join(folder, file), 'utf8').split('\n')) {
      if (line === '') continue
      const read = JSON.parse(line) as RecordedSecret
      if (read.innocent) innocent.add(read.value)
      if (read.innocent || read.value.length < shortestNeedle || isOneLetter(read.value)) continue
      const before = secrets.get(read.value)
      const secret = before ?? {
        value: read.value,
        what: read.what,
        source: sourceOf(file),
        shownBy: new Set(),
        timesShown: 0,
      }
      secrets.set(read.value, secret)
      if (read.shownBy === undefined) continue
      secret.what = read.what
      secret.shownBy.add(read.shownBy)
    }
  }
  return [...secrets.values()].filter(({ value }) => !innocent.has(value))
}

/** Made up to be long: nobody's secret, and found at every place of a text that was made up to be longer. */
function isOneLetter(value: string): boolean {
  return value === value[0]!.repeat(value.length)
}

function whyWrong(secret: Known, form: Form, outputId: string): string | undefined {
  if (form !== 'itself') return form
  if (!secret.shownBy.has(outputId)) return secret.shownBy.size > 0 ? 'said again' : 'said'
  // Which of two came first cannot be told, and need not: there must not be two.
  if (secret.shownBy.size > 1) return 'shown a second time'
  secret.timesShown++
  return secret.timesShown > 1 ? 'said more than once' : undefined
}

function* formsOf(value: string): Generator<[Form, string]> {
  yield ['itself', value]
  const encoded = encodeURIComponent(value)
  if (encoded !== value) yield ['URL-encoded', encoded]
  if (value.length < longEnoughAnywhere) return
  for (const offset of [0, 1, 2]) {
    const text = base64Inside(value, offset)
    yield ['in base64', text]
    const forUrls = text.replaceAll('+', '-').replaceAll('/', '_')
    if (forUrls !== text) yield ['in base64', forUrls]
  }
}

/** The part of its base64 that is the same whatever stands before it, `offset` bytes into a group of three, and after it. */
function base64Inside(value: string, offset: number): string {
  const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(value)])
  const certain = Math.floor((bytes.length * 8) / 6)
  return bytes.toString('base64').slice(Math.ceil((offset * 8) / 6), certain)
}

function isWord(text: Buffer, start: number, end: number): boolean {
  const isInWord = (at: number) => at >= 0 && at < text.length && wordByte.test(String.fromCharCode(text[at]!))
  return !isInWord(start - 1) && !isInWord(end)
}

/** The record (a line) that a find is in; `from` is where its text begins. */
function outputAround(text: Buffer, at: number): { id: string; of: string; from: number } {
  const lineStart = text.lastIndexOf('\n', at) + 1
  const textStart = text.indexOf('"text":"', lineStart) + '"text":"'.length
  const head = text.toString('utf8', lineStart, textStart - ',"text":"'.length)
  const { id, of } = JSON.parse(`${head}}`) as { id: string; of: string }
  return { id, of, from: Math.min(textStart, at) }
}

function excerpt(text: Buffer, from: number, start: number, end: number): string {
  const before = text.toString('utf8', Math.max(from, start - 80), start)
  const [after] = text.toString('utf8', end, end + 40).split('\n', 1)
  // A word that is cut off may be part of another secret, which could then not be told.
  return `…${start - 80 > from ? before.replace(/^[\w+/-]+/, '') : before}[secret]${after!.replace(/[\w+/-]+$/, '')}…`
}

/** The words around one secret may be another. */
function masked(leak: Leak, secrets: readonly Known[]): Leak {
  let { excerpt } = leak
  for (const { value } of secrets) excerpt = excerpt.replaceAll(value, '[secret]')
  return { ...leak, excerpt }
}

/** Files are named by the test that they are of. */
function sourceOf(file: string): string {
  return decodeURIComponent(file.replace(/(\.\d+)+\.(outputs|secrets)$/, ''))
}
