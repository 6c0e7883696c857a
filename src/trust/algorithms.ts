/** Of signatures by others, issuers and MCP clients alike: asymmetric ones only, so that no key set holds a shared secret. */
export const knownAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

export type Algorithm = (typeof knownAlgorithms)[number]

/** Of an issuer that says no others. */
export const defaultAlgorithms: readonly Algorithm[] = ['RS256', 'ES256', 'EdDSA']
