import type { IncomingMessage, ServerResponse } from 'node:http'

/** Middleware for Express, or for anything that calls it as Express does. */
export type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void
