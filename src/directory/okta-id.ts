/** Whether this is what Okta makes for a user: of two such ids, each is another person. */
export function isOktaId(id: string): boolean {
  return /^00u\w{17}$/.test(id)
}
