/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1); scheme and names of parameters in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: ReadonlyMap<string, string>
}

const token = "[!#$%&'*+.^_`|~\\w-]+"
const parameter = `(?<name>${token})\\s*=\\s*(?:"(?<quoted>(?:[^"\\\\]|\\\\.)*)"|(?<bare>${token}))`
const scheme = `(?<scheme>${token})(?:\\s+[\\w.~+/-]+=*(?=\\s*(?:,|$)))?`
const part = new RegExp(`[\\s,]*(?:${parameter}|${scheme})`, 'gy')

/** All challenges in their order; reading ends where the header stops making sense. */
export function readChallenges(header: string): Challenge[] {
  const challenges: Array<{ scheme: string; parameters: Map<string, string> }> = []
  for (const { groups = {} } of header.matchAll(part)) {
    if (groups.scheme !== undefined)
      challenges.push({ scheme: groups.scheme.toLowerCase(), parameters: new Map<string, string>() })
    if (groups.name === undefined) continue
    const value = groups.bare ?? groups.quoted?.replaceAll(/\\(.)/g, '$1') ?? ''
    challenges.at(-1)?.parameters.set(groups.name.toLowerCase(), value)
  }
  return challenges
}
