import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A line of a `.secrets` file. */
export interface RecordedSecret {
  value: string
  /** What it is and where it came from, for a person. */
  what: string
  /** The output that may say it, once: that which told the one who had asked for it. None may, where this is absent. */
  shownBy?: string
  /** A test took it for a token that turned out to be a jti, which is no secret. */
  innocent?: true
}

/** A line of an `.outputs` file. The text comes last, so that the rest can be read without it. */
export interface RecordedOutput {
  /** Unique in the run. */
  id: string
  /** What said it, e.g. `the answer to GET /admin/v1/servers (200)`. */
  of: string
  text: string
}

const bufferedBytes = 256 * 1024
const bytesPerFile = 16 * 1024 * 1024

/** Everything that `newSecret` and `newSigningSecret` of src/secrets.ts can make, known to the tests or not. */
const generated = /whsec_[A-Za-z0-9+/]{43}=|(?<![\w-])(?:[a-z]{2,8}_)?[a-z]{2,8}_[\w-]{43}(?![\w-])/g

/** Fields in which the admin API says a secret to whoever has just made it, and the token endpoint a token. */
const showing = new Set(['token', 'clientSecret', 'secret', 'signingSecret', 'key', 'access_token'])

/**
 * Writes down, in append-only files, every secret that is seen or given and every output: what a scan at the end of the run
 * holds against each other. An output goes on to another file when one is full, so that each can be read as a whole.
 */
export class SecretRecord {
  readonly #folder: string
  readonly #name: string
  readonly #known = new Set<string>()
  #lines: string[] = []
  #bytes = 0
  #files = 0
  #written = 0
  #outputs = 0

  /** @param source the test file, or whatever else is to be blamed */
  constructor(folder: string, source: string) {
    this.#folder = folder
    this.#name = `${encodeURIComponent(source)}.${process.pid}`
  }

  secret(value: string, what: string, shownBy?: string): void {
    if (value === '' || (shownBy === undefined && this.#known.has(value))) return
    this.#known.add(value)
    this.#writeSecret({ value, what, ...(shownBy === undefined ? {} : { shownBy }) })
  }

  innocent(value: string): void {
    this.#writeSecret({ value, what: 'jti', innocent: true })
  }

  /** What something of ours said to anybody. @returns its id */
  output(of: string, text: string): string {
    const id = `${this.#name}.${++this.#outputs}`
    for (const [value] of text.matchAll(generated)) this.secret(value, `secret that no test knew of`)
    this.#write(`${JSON.stringify({ id, of, text } satisfies RecordedOutput)}\n`)
    return id
  }

  /** The keys and passwords in the variables of a Tenure, or in the files that they name. */
  environment(env: Readonly<Record<string, string | undefined>>): void {
    const variable = (name: string) => env[name] ?? read(env[`${name}_FILE`] ?? '').trim()
    for (const name of ['TENURE_ADMIN_KEY', 'TENURE_SECRET_KEY'])
      for (const key of variable(name).split(/[\s,]+/)) this.secret(key, name)
    for (const name of ['DATABASE_URL', 'DATABASE_MIGRATION_URL', 'REDIS_URL']) {
      const url = URL.parse(variable(name))
      if (url) this.password(url.password, name)
    }
    if (env.TENURE_HOME) this.home(env.TENURE_HOME)
  }

  /** What was generated under a TENURE_HOME, as far as it is there by now, and what its Postgres has logged. */
  home(folder: string): void {
    for (const name of ['admin-key', 'secret-key'])
      this.secret(read(join(folder, name)).trim(), `${name} in TENURE_HOME`)
    const state = read(join(folder, 'database.json'))
    for (const [, role, password] of state.matchAll(/"(superuser|owner|runtime)": "([^"]+)"/g))
      this.password(password!, `database.json in TENURE_HOME (${role})`)
    const log = read(join(folder, 'postgres.log'))
    if (log !== '') this.output('the log of an embedded Postgres', log)
  }

  password(value: string, where: string): void {
    this.secret(decodeURIComponent(value), `database password in ${where}`)
  }

  /** A line of a command that was asked to make a secret, and says it once. */
  command(of: string, line: string): void {
    const id = this.output(of, line)
    for (const [value] of line.matchAll(generated)) this.secret(value, `secret made by ${of}`, id)
  }

  /** One exchange of a test with a Tenure, from the test's side. */
  exchange({ method, url, authorization, body }: Asked, { status, headers, text }: Answered): void {
    const call = `${method} ${new URL(url).pathname}`
    if (status !== 401) this.#credentials(authorization, call)
    this.#given(call, body)
    if (status < 300 && /^PUT .*\/channels\//.test(call)) this.#ofChannel(call, fieldsOf(body))
    const mayShow = method !== 'GET' && / \/(admin\/v1\/|oauth2\/token$)/.test(call) && status < 300
    const id = this.output(`the answer to ${call} (${status})`, `${headers}\n${text}`)
    if (mayShow) this.#shown(text, `made by ${call}`, id)
  }

  flush(): void {
    if (this.#lines.length === 0) return
    appendFileSync(join(this.#folder, `${this.#name}.${this.#files}.outputs`), this.#lines.join(''))
    this.#lines = []
    this.#written += this.#bytes
    this.#bytes = 0
    if (this.#written < bytesPerFile) return
    this.#written = 0
    this.#files++
  }

  #write(line: string): void {
    this.#lines.push(line)
    this.#bytes += line.length
    if (this.#bytes >= bufferedBytes) this.flush()
  }

  #writeSecret(secret: RecordedSecret): void {
    appendFileSync(join(this.#folder, `${this.#name}.secrets`), `${JSON.stringify(secret)}\n`)
  }

  /** Of a caller who was let in: what opens nothing is often a word like any other. */
  #credentials(authorization: string | null, call: string): void {
    const [, bearer] = /^Bearer +(.+)$/i.exec(authorization ?? '') ?? []
    if (bearer !== undefined) this.secret(bearer, `bearer token of ${call}`)
    const [, basic] = /^Basic +(.+)$/i.exec(authorization ?? '') ?? []
    const [, password] = /:(.*)/s.exec(Buffer.from(basic ?? '', 'base64').toString()) ?? []
    if (password !== undefined) this.secret(decodeForm(password), `password of ${call}`)
  }

  /** Tokens that a test hands to us to record or to look up. A jti that it takes for one is not one. */
  #given(call: string, body: unknown): void {
    const fields = fieldsOf(body)
    if (typeof fields.jti === 'string') this.innocent(fields.jti)
    if (call.includes(' /oauth2/')) this.#proofs(call, fields)
    if (typeof fields.token !== 'string' || !/ \/(admin\/v1\/grants|oauth2\/\w+)$/.test(call)) return
    if (fields.token_type_hint === 'jti') this.innocent(fields.token)
    else this.secret(fields.token, `token given to ${call}`)
  }

  /** What an event channel was set up with: its sender's secrets, and ours. */
  #ofChannel(call: string, fields: Record<string, unknown>): void {
    for (const name of ['secret', 'pushAuthorization', 'apiToken', 'token'])
      for (const value of [fields[name]].flat()) if (typeof value === 'string') this.secret(value, `${name} of ${call}`)
  }

  /** What an MCP client proves itself with. A short one is a test's way to be wrong. */
  #proofs(call: string, fields: Record<string, unknown>): void {
    for (const name of ['assertion', 'client_assertion', 'client_secret']) {
      const proof = fields[name]
      if (typeof proof === 'string' && proof.length >= 40) this.secret(proof, `${name} of ${call}`)
    }
  }

  #shown(text: string, what: string, id: string): void {
    if (!text.startsWith('{')) return
    JSON.parse(text, (name, value) => {
      if (showing.has(name) && typeof value === 'string') this.secret(value, `${name} ${what}`, id)
      return value
    })
  }
}

interface Asked {
  method: string
  url: string
  authorization: string | null
  body: unknown
}

interface Answered {
  status: number
  headers: string
  text: string
}

function fieldsOf(body: unknown): Record<string, unknown> {
  if (body instanceof URLSearchParams) return Object.fromEntries(body)
  if (typeof body !== 'string' || !body.startsWith('{')) return {}
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}

/** RFC 6749 §2.3.1 has the parts of Basic credentials form-encoded. */
function decodeForm(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
