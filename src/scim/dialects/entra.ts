import { isObject, type Json } from '../json.ts'

/** Entra's `AppRoleAssignmentsComplex` sends each role as JSON in a string under `value`; its name and label are kept. */
export function unpackRole(role: Json): Json {
  const packed =
    typeof role.value === 'string' && role.value.trimStart().startsWith('{') ? parse(role.value) : undefined
  const value = packed?.value ?? packed?.id
  if (!packed || typeof value !== 'string') return role
  const display = role.display ?? packed.displayName ?? packed.display
  return { ...role, value, ...(typeof display === 'string' && { display }) }
}

function parse(text: string): Json | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}
