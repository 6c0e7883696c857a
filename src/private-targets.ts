import ipaddr from 'ipaddr.js'
import { Invalid } from './errors.ts'

/** What outbound calls may reach although it is not public: everything, or these hosts, addresses and CIDRs. */
export type PrivateTargets = true | readonly string[]

/**
 * Reads `TENURE_ALLOW_PRIVATE_TARGETS`: empty, `true`, or hosts, addresses and CIDRs apart by commas or spaces. Names
 * and addresses come back as a URL would spell them, so that they can be compared with one.
 *
 * @throws Invalid naming every entry that cannot be meant
 */
export function parsePrivateTargets(text: string): PrivateTargets {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== '')
  if (entries.length === 1 && entries[0]?.toLowerCase() === 'true') return true
  const read = entries.map(readTarget)
  const problems = read.flatMap((target) => ('problem' in target ? [target.problem] : []))
  if (problems.length > 0) throw new Invalid(problems.join('; '))
  return [...new Set(read.flatMap((target) => ('target' in target ? [target.target] : [])))]
}

type Read = { target: string } | { problem: string }

const switches = new Set(['true', 'false', 'yes', 'no', 'on', 'off', 'all', 'none'])

function readTarget(entry: string): Read {
  const problem = (message: string): Read => ({ problem: `"${entry}" ${message}` })
  if (entry.includes('://')) return problem('is a URL; list its host alone')
  if (entry.includes('/')) return readCidr(entry, problem)
  if (entry.includes('*')) return problem('has a wildcard; list each host, or a CIDR')
  if (switches.has(entry.toLowerCase())) return problem('is no host; write true and nothing else, or leave it empty')

  const bare = entry.replace(/^\[(.*)\]$/, '$1')
  if (bare.includes('%')) return problem('has a zone; list the address without it')
  if (ipaddr.IPv6.isValid(bare)) return { target: ipaddr.IPv6.parse(bare).toRFC5952String() }
  if (bare.includes(':')) return problem('has a port; list the host alone, for all its ports')

  const host = hostAsUrlSpellsIt(bare)
  if (host === undefined) return problem('is not a host, an address or a CIDR')
  if (ipaddr.IPv4.isValidFourPartDecimal(host) && host !== bare) return problem(`means ${host}; write it so`)
  return { target: host }
}

function readCidr(entry: string, problem: (message: string) => Read): Read {
  if (!ipaddr.IPv4.isValidCIDRFourPartDecimal(entry) && !ipaddr.IPv6.isValidCIDR(entry)) {
    return problem('is not a CIDR such as 10.20.0.0/16')
  }
  const [address, bits] = ipaddr.parseCIDR(entry)
  const version = address.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6
  const network = `${version.networkAddressFromCIDR(entry)}/${bits}`
  // Somebody who wrote 10.20.0.7/16 meant one address or one network; a guess would open one too many.
  if (network !== `${address}/${bits}`)
    return problem(`has bits beyond its length; write ${network} or the address alone`)
  return { target: network }
}

const hostName = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*$/

function hostAsUrlSpellsIt(name: string): string | undefined {
  const url = URL.parse(`http://${name}/`)
  const host = url?.hostname.replace(/\.$/, '')
  return host !== undefined && url?.username === '' && url.pathname === '/' && hostName.test(host) ? host : undefined
}
