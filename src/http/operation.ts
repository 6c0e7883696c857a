import type { Request, Response, Router } from 'express'
import { z } from 'zod'
import { parse } from './parse.ts'
import { problemOf } from './problem.ts'

/** A time: a Date in the code, RFC 3339 on the wire. */
export const instant = z.date().meta({ override: { type: 'string', format: 'date-time' } })

/** The same where it is text already, of a JSON document in the database. */
export const instantText = z.string().meta({ format: 'date-time' })

/** A time as a caller states it: RFC 3339 with an offset. */
export const givenInstant = z.iso.datetime({ offset: true }).transform((text) => new Date(text))

/** The same, of something that is yet to come. */
export const futureInstant = givenInstant.refine((time) => time.getTime() > Date.now(), 'must be in the future')

/** `{items, next}`: one page of a list. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    next: z.string().nullable().meta({ description: 'The cursor of the next page; null on the last one' }),
  })
}

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete'

/** What an operation answers, by status: the 2xx in full, an error only where the shared ones do not say it. */
export type Answers = Readonly<Record<number, z.ZodType | undefined>>

/** One operation without its types, as it stands in a list: what it takes and answers, and what does it. */
export interface Operation {
  readonly method: Method
  /** In OpenAPI's form: `/directories/{id}`. */
  readonly path: string
  /** Stable: generated clients are named after it. */
  readonly operationId: string
  /** One line, imperative. */
  readonly summary: string
  /** What the summary cannot say: Markdown. */
  readonly description?: string
  readonly tag: string
  /** Whether no credentials are needed. */
  readonly open?: true
  /** Names of the security schemes that open it, where these are not the document's own. */
  readonly security?: readonly string[]
  readonly params?: z.ZodObject
  readonly query?: z.ZodObject
  readonly body?: z.ZodType
  readonly answers: Answers
  // biome-ignore lint/suspicious/noExplicitAny: what it is given follows from the schemas, which a list of operations forgets
  handle(given: any): unknown
}

/** The names in a path's braces. */
type ParamsOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? { readonly [K in Name]: string } & ParamsOf<Rest>
  : unknown

export interface Given<Path extends string, Params, Query, Body> {
  readonly params: Params extends z.ZodType ? z.output<Params> : ParamsOf<Path>
  readonly query: Query extends z.ZodType ? z.output<Query> : Record<never, never>
  readonly body: Body extends z.ZodType ? z.output<Body> : Record<never, never>
  readonly req: Request
  readonly res: Response
}

/** As JSON will show it; what is read-only may be shown too. */
type Shown<T> = T extends Date
  ? T
  : T extends readonly (infer Item)[]
    ? ReadonlyArray<Shown<Item>>
    : T extends object
      ? { readonly [K in keyof T]: Shown<T[K]> }
      : T

type BodyOf<Schema> = Schema extends z.ZodType ? Shown<z.input<Schema>> : undefined

type Success<A extends Answers> = Extract<keyof A, 200 | 201 | 202 | 204>

type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never

type Outcome<A extends Answers> =
  | { [S in Success<A>]: Reply<S, BodyOf<A[S]>> }[Success<A>]
  | (IsUnion<Success<A>> extends false ? BodyOf<A[Success<A>]> | NoBody<A[Success<A>]> : never)

// biome-ignore lint/suspicious/noConfusingVoidType: a handler of a 204 may return nothing at all
type NoBody<Schema> = Schema extends z.ZodType ? never : void

class Reply<S extends number, B> {
  readonly status: S
  readonly body: B
  readonly headers: Readonly<Record<string, string>>
  // Nominal: a plain object that looks like one would be sent as a body.
  readonly #isReply = true

  constructor(status: S, body: B, headers: Readonly<Record<string, string>>) {
    this.status = status
    this.body = body
    this.headers = headers
  }

  static is(value: unknown): value is Reply<number, unknown> {
    return typeof value === 'object' && value !== null && #isReply in value
  }
}

/** An answer with its status, where there are several, or with headers. */
export function reply<S extends number, B = undefined>(
  status: S,
  body?: B,
  headers: Readonly<Record<string, string>> = {},
): Reply<S, B> {
  return new Reply(status, body as B, headers)
}

/**
 * Declares one operation. Its types follow from its schemas: `handle` is given what they read, and returns the body of the one
 * success, or `reply(status, body)`. What is not declared is refused: without `query` any parameter, without `body` any field.
 */
export function operation<
  const Path extends string,
  const A extends Answers,
  Params extends z.ZodObject | undefined = undefined,
  Query extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
>(
  declared: Omit<Operation, 'path' | 'params' | 'query' | 'body' | 'answers' | 'handle'> & {
    readonly path: Path
    /** Only where a path parameter must have a form; otherwise they are any strings. */
    readonly params?: Params
    readonly query?: Query
    readonly body?: Body
    readonly answers: A
    handle(given: Given<Path, Params, Query, Body>): Outcome<A> | Promise<Outcome<A>>
  },
): Operation {
  return declared
}

/** As people write it, and as a trail of calls names it: `PUT /rules/{id}`. */
export function nameOf({ method, path }: Pick<Operation, 'method' | 'path'>): string {
  return `${method.toUpperCase()} ${path}`
}

/** @returns what is to be told how it ended, whether or not the caller waited for the answer */
export type Before = (operation: Operation, req: Request) => Promise<((status: number) => void) | undefined>

/**
 * Serves the operations. `before` is awaited with the operation that matched, before anything is read or done: what it
 * throws is the answer.
 */
export function mount(router: Router, operations: Iterable<Operation>, { before }: { before?: Before } = {}): void {
  for (const operation of operations) {
    router[operation.method](operation.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (req, res) => {
      const ended = await before?.(operation, req)
      const { status, body, headers } = await replyOf(operation, req, res).catch((error) => {
        ended?.(problemOf(error).status)
        throw error
      })
      ended?.(status)
      res.status(status).set(headers)
      if (body === undefined) res.end()
      else res.json(body)
    })
  }
}

async function replyOf(operation: Operation, req: Request, res: Response): Promise<Reply<number, unknown>> {
  const outcome = await operation.handle({ ...read(operation, req), req, res })
  return Reply.is(outcome) ? outcome : new Reply(successOf(operation), outcome, {})
}

const nothing = z.strictObject({})

function read({ method, params, query, body }: Operation, req: Request) {
  return {
    params: params ? parse(params, req.params) : req.params,
    query: parse(query ?? nothing, req.query),
    body: body || method !== 'get' ? parse(body ?? nothing, req.body) : {},
  }
}

function successOf({ answers }: Operation): number {
  return Object.keys(answers)
    .map(Number)
    .find((status) => status < 300)!
}
