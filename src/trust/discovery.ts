import type { Egress, EgressResponse } from '../connectors/egress.ts'
import { Invalid } from '../errors.ts'
import { parseObject } from './json-object.ts'

const timeoutMs = 10_000

/**
 * Where an issuer publishes its keys, by its own metadata: OpenID Connect Discovery 1.0 §4, then RFC 8414 §3 with the
 * path inserted. Asked once, when it is registered; the answer is kept with it.
 *
 * @throws Invalid unless there is metadata whose `issuer` is this one, byte for byte
 */
export async function discoverJwksUri(
  egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>,
  issuer: string,
): Promise<string> {
  const refused: string[] = []
  for (const url of metadataUrls(issuer)) {
    const found = await read(egress, url, issuer)
    if ('jwksUri' in found) {
      egress.checkConfiguredUrl(found.jwksUri, 'jwksUri')
      return found.jwksUri
    }
    refused.push(`${new URL(url).pathname} ${found.why}`)
  }
  throw new Invalid('The key set of this issuer could not be found: give its jwksUri', [
    { field: 'jwksUri', message: `is not to be discovered: ${refused.join('; ')}` },
  ])
}

function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer)
  const path = pathname.replace(/\/$/, '')
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    ...['oauth-authorization-server', 'openid-configuration'].map((name) => `${origin}/.well-known/${name}${path}`),
  ].filter((url, index, all) => all.indexOf(url) === index)
}

async function read(
  egress: Pick<Egress, 'request'>,
  url: string,
  issuer: string,
): Promise<{ jwksUri: string } | { why: string }> {
  let answer: EgressResponse
  try {
    answer = await egress.request(url, { headers: { accept: 'application/json' }, timeoutMs })
  } catch (error) {
    return { why: `could not be asked: ${(error as Error).message}` }
  }
  if (answer.status !== 200) return { why: `answered ${answer.status}` }
  const metadata = parseObject(answer.body)
  if (metadata === undefined) return { why: 'is no JSON object' }
  if (metadata.issuer !== issuer) return { why: 'names another issuer (a slash at the end counts)' }
  return typeof metadata.jwks_uri === 'string' ? { jwksUri: metadata.jwks_uri } : { why: 'has no jwks_uri' }
}
