import { describe, expect, it } from 'vitest'
import { readListQuery } from '../../src/scim/list.ts'
import { readSearchRequest } from '../../src/scim/search.ts'

const schemas = ['urn:ietf:params:scim:api:messages:2.0:SearchRequest']
const all = { filter: undefined, sortBy: undefined, descending: false, startIndex: 1, count: 100, cursor: undefined }

describe('the parameters of a list (RFC 7644 §3.4.2.4)', () => {
  it.each<[Record<string, unknown>, Record<string, unknown>]>([
    [{}, {}],
    [
      { startIndex: '0', count: '-1' },
      { startIndex: 1, count: 0 },
    ],
    [
      { startIndex: '-5', count: '0' },
      { startIndex: 1, count: 0 },
    ],
    [
      { startIndex: '7', count: '201' },
      { startIndex: 7, count: 200 },
    ],
    [{ filter: '', sortBy: '', sortOrder: '' }, {}],
    [
      { sortBy: 'title', sortOrder: 'DESCENDING' },
      { sortBy: 'title', descending: true },
    ],
    [{ cursor: '' }, { cursor: '' }],
    [{ unknown: 'x' }, {}],
    [
      { Filter: 'title pr', STARTINDEX: '7' },
      { filter: 'title pr', startIndex: 7 },
    ],
  ])('%j', (query, expected) => {
    expect(readListQuery(query)).toEqual({ ...all, ...expected })
  })

  it.each<[Record<string, unknown>, string]>([
    [{ startIndex: 'x' }, 'invalidValue'],
    [{ startIndex: '1.5' }, 'invalidValue'],
    [{ count: '' }, 'invalidValue'],
    [{ count: '99999999999' }, 'invalidValue'],
    [{ count: 'x', cursor: '' }, 'invalidCount'],
    [{ sortOrder: 'up' }, 'invalidValue'],
    [{ filter: ['a', 'b'] }, 'invalidFilter'],
    [{ sortBy: ['a', 'b'] }, 'invalidValue'],
    [{ cursor: ['a', 'b'] }, 'invalidCursor'],
    [{ count: ['1', '2'] }, 'invalidValue'],
  ])('refuses %j', (query, scimType) => {
    expect(() => readListQuery(query)).toThrow(expect.objectContaining({ status: 400, scimType }))
  })
})

describe('a search request (RFC 7644 §3.4.3)', () => {
  it('is the same query, its names in any case', () => {
    const body = {
      SCHEMAS: [schemas[0]!.toUpperCase()],
      Filter: 'title pr',
      sortby: 'title',
      count: 10,
      startIndex: 2,
      cursor: null,
    }
    expect(readListQuery(readSearchRequest(body))).toEqual({
      ...all,
      filter: 'title pr',
      sortBy: 'title',
      count: 10,
      startIndex: 2,
    })
  })

  it.each<[unknown, string]>([
    [undefined, 'invalidSyntax'],
    [[], 'invalidSyntax'],
    [{}, 'invalidSyntax'],
    [{ schemas: 'x' }, 'invalidSyntax'],
    [{ schemas, attributes: 1 }, 'invalidValue'],
    [{ schemas, excludedAttributes: [null] }, 'invalidValue'],
  ])('refuses %j', (body, scimType) => {
    expect(() => readSearchRequest(body)).toThrow(expect.objectContaining({ status: 400, scimType }))
  })
})
