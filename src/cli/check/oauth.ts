import { type Fields, readObject, textIn } from './documents.ts'
import { type Doubt, isDoubt } from './findings.ts'
import type { Answer, Requests } from './requests.ts'

/** What a token endpoint answers: something, a no, or nothing that helps. `seen` holds none of what was sent. */
export type OAuthAnswer =
  | { readonly kind: 'given'; readonly fields: Fields; readonly headers: Answer['headers'] }
  | { readonly kind: 'refused' | 'failed'; readonly seen: string; readonly doubt?: Doubt }

export type Form = Readonly<Record<string, string | undefined>>

const secretFields = new Set(['assertion', 'subject_token', 'client_secret', 'token'])

/** One form to an OAuth endpoint; what is undefined is left out. */
export async function postForm(
  requests: Requests,
  url: string,
  form: Form,
  headers: Readonly<Record<string, string>> = {},
): Promise<OAuthAnswer> {
  const sent = Object.entries(form).filter((field): field is [string, string] => field[1] !== undefined)
  const answer = await requests.ask(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...headers },
    body: new URLSearchParams(sent).toString(),
  })
  if (isDoubt(answer)) return { kind: 'failed', seen: answer.seen, doubt: answer }
  const fields = readObject(answer.body)
  if (answer.status < 300) return { kind: 'given', fields: fields ?? {}, headers: answer.headers }
  const error = fields === undefined ? undefined : textIn(fields, 'error')
  const description = fields === undefined ? undefined : textIn(fields, 'error_description')
  // Some servers repeat in the description what they were sent, or the beginning of it.
  const words = [error, description].filter((text) => text !== undefined && !repeats(text, sent))
  const seen = [answer.status, words.join(': ')].join(' ').trim()
  // Too many requests or trouble of its own is no decision about this one.
  return { kind: answer.status >= 500 || answer.status === 429 || error === undefined ? 'failed' : 'refused', seen }
}

function repeats(text: string, sent: ReadonlyArray<readonly [string, string]>): boolean {
  return sent.some(([name, value]) => secretFields.has(name) && text.includes(value.slice(0, 24)))
}
