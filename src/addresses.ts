import ipaddr from 'ipaddr.js'
import { type PrivateTargets, parsePrivateTargets } from './private-targets.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** Which hosts and addresses outbound calls may reach. A host comes as `URL.hostname` spells it. */
export interface Reach {
  /** Whether the allow-list covers this host: as a name, or as an address by itself or within a CIDR. */
  lists(host: string): boolean
  /** Why no call may go to this host, or undefined. A name that passes is judged again by `refuseAddress`. */
  refuseHost(host: string): string | undefined
  /** Why no call to this host may go to this address, which it resolved to or is. */
  refuseAddress(host: string, address: string): string | undefined
}

/**
 * Public is what is globally routable unicast; the rest must be listed. Addresses that hand a cloud machine its
 * credentials are listed by themselves or not at all: a CIDR or a name that leads there is not enough.
 */
export function createReach(targets: PrivateTargets): Reach {
  const entries = targets === true ? [] : parsed(targets)
  const cidrs = entries.filter((entry) => entry.includes('/')).map((entry) => ipaddr.parseCIDR(entry))
  const names = new Set(entries.filter((entry) => !entry.includes('/') && !ipaddr.isValid(entry)))
  const literals = new Set(entries.filter((entry) => ipaddr.isValid(entry)).map((entry) => spell(ipaddr.parse(entry))))

  const literally = (address: Address): boolean =>
    literals.has(spell(address)) || (embedded(address)?.every(literally) ?? false)
  const covered = (address: Address): boolean =>
    literals.has(spell(address)) ||
    cidrs.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits)) ||
    (embedded(address)?.every(covered) ?? false)

  function refuseAddress(host: string, text: string): string | undefined {
    if (targets === true) return undefined
    const address = parseAddress(text)
    if (address === undefined) return `${text} is not an address`
    const named = names.has(bare(host))
    if (isMetadata(address)) {
      const meant = literally(address) || (named && metadataNames.has(bare(host)))
      return meant ? undefined : `${text} is a metadata address`
    }
    return named || isPublic(address) || covered(address) ? undefined : `${text} is not a public address`
  }

  return {
    lists(host) {
      const address = parseAddress(bare(host))
      return targets === true || (address === undefined ? names.has(bare(host)) : covered(address))
    },
    refuseHost(host) {
      const name = bare(host)
      if (parseAddress(name) !== undefined) return refuseAddress(host, name)
      if (targets === true || names.has(name)) return undefined
      if (metadataNames.has(name)) return 'it names a metadata service'
      return name === 'localhost' || name.endsWith('.localhost') ? 'it names this machine' : undefined
    },
    refuseAddress,
  }
}

/** Credentials and machine secrets are served here without a password. 168.63.129.16 looks public and is Azure's host. */
const metadataAddresses = new Set(
  [
    '169.254.169.254',
    '169.254.170.2',
    '169.254.170.23',
    '169.254.0.23',
    '169.254.42.42',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    'fd00:ec2::254',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:42::42',
    'fe80::a9fe:a9fe',
  ].map((address) => spell(ipaddr.parse(address))),
)

const metadataNames = new Set([
  'metadata.google.internal',
  'metadata.goog',
  'metadata',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.tencentyun.com',
])

function isMetadata(address: Address): boolean {
  return metadataAddresses.has(spell(address)) || (embedded(address)?.some(isMetadata) ?? false)
}

function isPublic(address: Address): boolean {
  const inner = embedded(address)
  if (inner !== undefined) return !isLocalNat64(address) && inner.every(isPublic)
  // 2000::/3 is all of IPv6 that is handed out as global unicast; the library's `unicast` is whatever it has no name for.
  return address.range() === 'unicast' && (!isIPv6(address) || (part(address, 0) & 0xe000) === 0x2000)
}

/** The IPv4 addresses that a packet to this IPv6 address can end up at, when it is a wrapping of them. */
function embedded(address: Address): ipaddr.IPv4[] | undefined {
  if (!isIPv6(address)) return undefined
  const range: string = address.range()
  if (range === '6to4') return [ipv4At(address, 1)]
  // Teredo (RFC 4380 §4) carries its server, and its client with every bit turned.
  if (range === 'teredo') return [ipv4At(address, 2), ipv4At(address, 6, 0xffff)]
  const compatible = range === 'unicast' && address.parts.slice(0, 6).every((value) => value === 0)
  return compatible || ['ipv4Mapped', 'rfc6145', 'rfc6052'].includes(range) ? [ipv4At(address, 6)] : undefined
}

/** 64:ff9b:1::/48 (RFC 8215) is for use within a network, whatever it wraps. */
function isLocalNat64(address: Address): boolean {
  return isIPv6(address) && part(address, 0) === 0x64 && part(address, 2) === 1
}

function ipv4At(address: ipaddr.IPv6, index: number, turn = 0): ipaddr.IPv4 {
  const [high, low] = [part(address, index) ^ turn, part(address, index + 1) ^ turn]
  return new ipaddr.IPv4([high >> 8, high & 0xff, low >> 8, low & 0xff])
}

function part(address: ipaddr.IPv6, index: number): number {
  return address.parts[index] ?? 0
}

function isIPv6(address: Address): address is ipaddr.IPv6 {
  return address.kind() === 'ipv6'
}

function parsed(targets: readonly string[]): readonly string[] {
  const read = parsePrivateTargets(targets.join(','))
  return read === true ? [] : read
}

/** Only the dotted quad counts as IPv4: a resolver or a URL gives nothing else, and `ipaddr.parse` alone reads octal. */
function parseAddress(text: string): Address | undefined {
  const zoneless = text.replace(/%.*$/, '')
  if (ipaddr.IPv4.isValidFourPartDecimal(zoneless)) return ipaddr.IPv4.parse(zoneless)
  return ipaddr.IPv6.isValid(zoneless) ? ipaddr.IPv6.parse(zoneless) : undefined
}

function spell(address: Address): string {
  return address.toNormalizedString()
}

function bare(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
}
