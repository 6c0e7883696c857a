import type { Identity } from './plan.ts'

/** What a server is told of a user, out of its SCIM document: the primary e-mail address, else the first. */
export function identityOf(document: Readonly<Record<string, unknown>>): Identity {
  return {
    userName: String(document.userName),
    email: emailOf(document.emails),
    externalId: textOf(document.externalId),
    displayName: textOf(document.displayName),
  }
}

function emailOf(emails: unknown): string | null {
  if (!Array.isArray(emails)) return null
  const chosen = emails.find((email) => email?.primary === true) ?? emails[0]
  return textOf(chosen?.value)
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}
