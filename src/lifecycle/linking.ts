import { fold } from '../fold.ts'
import { identityOf } from './identity.ts'

/** Which attribute of a user an identity provider's `sub` is. */
export type SubjectAttribute = 'externalId' | 'userName' | 'email'

type Document = Readonly<Record<string, unknown>>

/** Whether `sub` is this user. There is no falling back to another attribute: that would let one name stand for two people. */
export function isSubject(document: Document, attribute: SubjectAttribute, sub: string): boolean {
  const { userName, externalId, email } = identityOf(document)
  if (attribute === 'externalId') return externalId === sub
  const isUserName = fold(userName) === fold(sub)
  return attribute === 'userName' ? isUserName : isUserName || (email !== null && fold(email) === fold(sub))
}

/**
 * Whether an e-mail address that comes with a subject is not one of this user: then somebody's address has changed
 * hands, or the subject has. A user of whom no address is known contradicts none.
 */
export function contradictsEmail(document: Document, claimed: string): boolean {
  const emails = Array.isArray(document.emails) ? document.emails : []
  const known = [document.userName, ...emails.map((email) => email?.value)].filter(
    (text) => typeof text === 'string' && text.includes('@'),
  )
  return known.length > 0 && !known.some((text) => fold(text) === fold(claimed))
}
