import { readdir, readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'

/**
 * The claims of the standard that `standard-*.test.ts` hold Tenure to, counted by section of our checklist: endpoints,
 * HTTP, characteristics, schemas, create, read, filter, sort, PUT, PATCH, DELETE, Bulk, versions, errors, discovery,
 * cursors, and what came after. A claim of several cases is one number.
 */
const claims: Record<string, number> = {
  '1.1': 11,
  '1.2': 7,
  '1.3': 14,
  '1.4': 6,
  '1.5': 7,
  '1.6': 8,
  '1.7': 16,
  '1.8': 1,
  '1.9': 3,
  '1.10': 20,
  '1.11': 1,
  '1.12': 6,
  '1.13': 2,
  '1.14': 9,
  '1.15': 7,
  '1.16': 5,
  '1.17': 5,
}

it('every claim of the checklist has its test', async () => {
  const folder = new URL('.', import.meta.url)
  const files = (await readdir(folder)).filter((name) => /^standard-.*\.test\.ts$/.test(name))
  const sources = await Promise.all(files.map((name) => readFile(new URL(name, folder), 'utf8')))
  const tested = new Set([...sources.join().matchAll(/['"`]§(\d+\.\d+\.\d+) /g)].map(([, claim]) => claim))
  const listed = Object.entries(claims).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, n) => `${section}.${n + 1}`),
  )
  expect([...tested].toSorted()).toEqual(listed.toSorted())
})
