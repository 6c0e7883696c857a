import type { Egress, EgressResponse } from '../connectors/egress.ts'
import { Invalid } from '../errors.ts'
import { type Json, parseObject } from './json-object.ts'

/** Where a transmitter of SETs has what, as far as its metadata says (SSF 1.0 §7.1). */
export interface Transmitter {
  readonly jwksUri?: string
  readonly configurationEndpoint?: string
  readonly statusEndpoint?: string
  readonly verificationEndpoint?: string
}

const timeoutMs = 10_000

/** The latter is from before the final specifications, and Google's. */
const documents = ['ssf-configuration', 'risc-configuration']

const members = {
  jwksUri: 'jwks_uri',
  configurationEndpoint: 'configuration_endpoint',
  statusEndpoint: 'status_endpoint',
  verificationEndpoint: 'verification_endpoint',
} as const satisfies Record<keyof Transmitter, string>

/**
 * What a transmitter publishes of itself, with the path of its issuer inserted behind the well-known name (SSF 1.0
 * §7.2). Asked once, when a channel is set up; the answer is kept with it, so that nobody can move it elsewhere later.
 *
 * @throws Invalid unless there is metadata whose `issuer` is this one, byte for byte, and whose addresses may be called
 */
export async function discoverTransmitter(
  egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>,
  issuer: string,
): Promise<Transmitter> {
  const { origin, pathname } = egress.checkConfiguredUrl(issuer, 'issuer')
  const refused: string[] = []
  for (const name of documents) {
    const path = `/.well-known/${name}${pathname.replace(/\/$/, '')}`
    const found = await read(egress, `${origin}${path}`, issuer)
    if ('metadata' in found) return addressesIn(found.metadata, egress)
    refused.push(`${path} ${found.why}`)
  }
  throw new Invalid('The metadata of this transmitter could not be found', [
    { field: 'issuer', message: `is not to be discovered: ${refused.join('; ')}` },
  ])
}

function addressesIn(metadata: Json, egress: Pick<Egress, 'checkConfiguredUrl'>): Transmitter {
  const found = Object.entries(members).flatMap(([name, member]) => {
    const url = metadata[member]
    if (typeof url !== 'string') return []
    egress.checkConfiguredUrl(url, name)
    return [[name, url]]
  })
  return Object.fromEntries(found)
}

async function read(
  egress: Pick<Egress, 'request'>,
  url: string,
  issuer: string,
): Promise<{ metadata: Json } | { why: string }> {
  let answer: EgressResponse
  try {
    answer = await egress.request(url, { headers: { accept: 'application/json' }, timeoutMs })
  } catch (error) {
    return { why: `could not be asked: ${(error as Error).message}` }
  }
  if (answer.status !== 200) return { why: `answered ${answer.status}` }
  const metadata = parseObject(answer.body)
  if (metadata === undefined) return { why: 'is no JSON object' }
  return metadata.issuer === issuer ? { metadata } : { why: 'names another issuer (a slash at the end counts)' }
}
