import { describe, expect, it } from 'vitest'
import { nobody, readSubject, type SubjectSettings } from '../../../src/receivers/ssf/subject.ts'

const issuer = 'https://idp.example'
const scimBaseUrl = 'https://tenure.example/directories/acme/scim/v2'
const settings: SubjectSettings = { issuer, subjectIssuers: ['https://login.example/'], tenant: 'acme', scimBaseUrl }
const id = '5b7c0a2e-0000-4000-8000-000000000001'

const email = { format: 'email', email: 'lee@acme.example' }
const issSub = { format: 'iss_sub', iss: issuer, sub: '00u1' }
const byEmail = { by: 'email', value: 'lee@acme.example' }
const bySubject = { by: 'subject', issuer, value: '00u1', attribute: 'externalId' }

describe('Subject Identifiers (RFC 9493, SSF 1.0 §3, RFC 9967 §2.1)', () => {
  it.each<[string, Record<string, unknown>, unknown[]]>([
    ['email', email, [byEmail]],
    ['iss_sub of the channel’s issuer', issSub, [bySubject]],
    [
      'iss_sub of another issuer that is configured',
      { ...issSub, iss: 'https://login.example/' },
      [{ ...bySubject, issuer: 'https://login.example/' }],
    ],
    ['iss_sub of somebody else (P25)', { ...issSub, iss: 'https://login.example' }, []],
    [
      'account',
      { format: 'account', uri: 'acct:lee%2Bx@acme.example' },
      [{ by: 'userName', value: 'lee+x@acme.example' }],
    ],
    ['scim', { format: 'scim', uri: `/Users/${id}` }, [{ by: 'id', value: id }]],
    [
      'scim with the whole address and an externalId',
      { format: 'scim', uri: `${scimBaseUrl}/Users/${id}`, externalId: '00u1' },
      [
        { by: 'id', value: id },
        { by: 'externalId', value: '00u1' },
      ],
    ],
    [
      'scim of another directory',
      { format: 'scim', uri: `${scimBaseUrl.replace('acme', 'other')}/Users/${id}`, externalId: '00u1' },
      [],
    ],
    ['scim of another service provider', { format: 'scim', uri: `https://elsewhere.example/Users/${id}` }, []],
    ['scim of a group', { format: 'scim', uri: `/Groups/${id}` }, []],
    ['opaque', { format: 'opaque', id: 'stream-1' }, []],
    ['phone_number', { format: 'phone_number', phone_number: '+12065550100' }, []],
    ['did', { format: 'did', url: 'did:example:123456' }, []],
    ['uri', { format: 'uri', uri: 'https://user.example/' }, []],
    ['ip-addresses', { format: 'ip-addresses', 'ip-addresses': ['10.29.37.75'] }, []],
    ['a format that is not known', { format: 'urn:example:format', id: 'x' }, []],
    [
      'aliases, flattened, the surest first',
      { format: 'aliases', identifiers: [email, { format: 'did', url: 'did:x:1' }, issSub] },
      [bySubject, byEmail],
    ],
    ['complex: its user', { format: 'complex', user: issSub, tenant: { format: 'opaque', id: 'acme' } }, [bySubject]],
    [
      'complex: a user of several names',
      { format: 'complex', user: { format: 'aliases', identifiers: [email, issSub] } },
      [bySubject, byEmail],
    ],
    [
      'complex: a user in a group of a unit',
      { format: 'complex', user: email, group: { format: 'opaque', id: 'g' }, org_unit: { format: 'opaque', id: 'o' } },
      [byEmail],
    ],
    ['complex: nobody in particular', { format: 'complex', tenant: { format: 'opaque', id: 'acme' } }, []],
  ])('reads %s', (_name, subject, identifiers) => {
    expect(readSubject(subject, settings)).toEqual({ identifiers, isNarrow: false })
  })

  it.each(['externalId', 'userName', 'email'] as const)(
    'takes a sub for the %s where that is configured',
    (attribute) => {
      const { identifiers } = readSubject(issSub, { ...settings, subject: attribute })
      expect(identifiers).toEqual([{ ...bySubject, attribute }])
    },
  )

  it.each([
    ['session', { format: 'opaque', id: 'sid-1' }],
    ['device', { format: 'opaque', id: 'dev-1' }],
    ['application', { format: 'opaque', id: 'client-9' }],
    ['something that is not known here', { format: 'opaque', id: 'x' }],
  ])('P10: keeps a complex subject with a %s to that', (name, member) => {
    const member_ = name.replaceAll(' ', '_')
    expect(readSubject({ format: 'complex', user: email, [member_]: member }, settings)).toEqual({
      identifiers: [byEmail],
      isNarrow: true,
    })
  })

  it.each([
    ['jwt_id', { format: 'jwt_id', iss: issuer, jti: 'j' }],
    ['saml_assertion_id', { format: 'saml_assertion_id', issuer, assertion_id: 'a' }],
  ])('P10: takes %s for one token', (_name, subject) => {
    expect(readSubject(subject, settings)).toEqual({ ...nobody, isNarrow: true })
  })

  it('looks up no more than twenty aliases, the surest', () => {
    const identifiers = [...Array.from({ length: 40 }, () => email), issSub]
    const read = readSubject({ format: 'aliases', identifiers }, settings).identifiers
    expect(read).toHaveLength(20)
    expect(read[0]).toEqual(bySubject)
  })

  it.each(['acct:lee%00@acme.example', 'acct:lee%ED%A0%80@acme.example'])(
    'refuses the name of an account that nothing can hold (%s)',
    (uri) => {
      expect(() => readSubject({ format: 'account', uri }, settings)).toThrow(
        expect.objectContaining({ err: 'invalid_request', reason: 'subject' }),
      )
    },
  )

  it.each([
    ['opaque', { format: 'opaque', id: 'other' }],
    ['uri', { format: 'uri', uri: 'https://other.example' }],
    ['one without a name', { format: 'opaque' }],
  ])('P24: refuses the tenant of somebody else (%s)', (_name, tenant) => {
    expect(() => readSubject({ format: 'complex', user: email, tenant }, settings)).toThrow(
      expect.objectContaining({ err: 'access_denied', reason: 'subject' }),
    )
  })
})
