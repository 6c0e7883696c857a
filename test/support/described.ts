import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { Json } from './clients.ts'

const base = '/admin/v1'

/** The document of the admin API, and what it says of each answer. The same for every Tenure of a run: fetched once. */
class Described {
  readonly document: Json
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })
  readonly #paths: ReadonlyArray<{ template: string; pattern: RegExp }>
  readonly #validators = new Map<string, ValidateFunction>()

  constructor(document: Json) {
    this.document = document
    formats.default(this.#ajv)
    this.#ajv.addSchema(document, 'openapi')
    this.#paths = Object.keys(document.paths).map((template) => ({
      template,
      pattern: new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    }))
  }

  /** @throws unless the status is described, and the body is as it is described */
  check(method: string, path: string, answer: { status: number; headers: Headers; body: Json }): void {
    const what = `${method} ${path} answered ${answer.status}`
    const operationAt = (template: string): Json => this.document.paths[template][method.toLowerCase()]
    // `POST /rules/test` is no `/rules/{id}`: that has other methods.
    const template = this.#paths.find((each) => each.pattern.test(path) && operationAt(each.template))?.template
    const operation = template === undefined ? undefined : operationAt(template)
    if (template === undefined || operation === undefined) {
      if (answer.status === 401 || answer.status === 404) return
      throw new Error(`${what}, but ${method} ${path} is not described`)
    }
    const response = operation.responses[answer.status]
    if (response === undefined) throw new Error(`${what}, which is not described: ${JSON.stringify(answer.body)}`)
    if (response.$ref === undefined && response.content === undefined) {
      if (answer.body !== undefined) throw new Error(`${what} with a body, and none is described`)
      return
    }
    const type = answer.headers.get('content-type')?.split(';', 1)[0] ?? ''
    const pointer = `${response.$ref ?? `#/paths/${escaped(template)}/${method.toLowerCase()}/responses/${answer.status}`}`
    const validate = this.#validator(`openapi${pointer}/content/${escaped(type)}/schema`)
    if (!validate(answer.body)) {
      const problems = validate.errors!.map(
        ({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
      )
      throw new Error(`${what} otherwise than described:\n${problems.join('\n')}\n${JSON.stringify(answer.body)}`)
    }
  }

  #validator($ref: string): ValidateFunction {
    const known = this.#validators.get($ref)
    if (known) return known
    const validate = this.#ajv.compile({ $ref })
    this.#validators.set($ref, validate)
    return validate
  }
}

/** As one part of a JSON pointer in a URI fragment. */
function escaped(text: string): string {
  return encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'))
}

let described: Promise<Described> | undefined

/** Of the Tenure at `url`, or of any that was asked before. */
export function describedAt(url: string): Promise<Described> {
  described ??= fetch(`${url}${base}/openapi.json`)
    .then((response) => response.json())
    .then((document) => new Described(document))
  return described
}

/** Throws when the admin API answers otherwise than its document says. Whatever is not the admin API passes. */
export async function checkDescribed(
  url: string,
  method: string,
  path: string,
  answer: { status: number; headers: Headers; body: Json },
): Promise<void> {
  const { pathname } = new URL(path, url)
  if (!pathname.startsWith(`${base}/`)) return
  const described = await describedAt(url)
  described.check(method, pathname.slice(base.length), answer)
}
