import { fileURLToPath } from 'node:url'
import express, { Router } from 'express'
import { absolutePath } from 'swagger-ui-dist'
import { NotFound } from '../errors.ts'

const page = fileURLToPath(new URL('docs/', import.meta.url))
const files = express.static(absolutePath(), { index: false })

/** Of the package, what the page asks for. */
const assets = /^\/(swagger-ui\.css|swagger-ui-bundle\.js)$/

/** Everything comes from here, and no script stands in the page. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** A page on which to read the API's document, and to call it. */
export function docsPage(): Router {
  const docs = Router()
  docs.use((_req, res, next) => {
    res.set({
      'Content-Security-Policy': policy,
      'X-Content-Type-Options': 'nosniff',
      'Referrer-Policy': 'no-referrer',
    })
    next()
  })
  docs.use(express.static(page))
  docs.use((req, res, next) => (assets.test(req.path) ? files(req, res, next) : next()))
  docs.use((req) => {
    throw new NotFound(`There is no ${req.method} ${req.baseUrl}${req.path}`)
  })
  return docs
}
