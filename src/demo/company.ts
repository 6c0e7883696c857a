/** A company to onboard: who works there, in which groups, and what each group earns where. The same every time. */

export interface Employee {
  /** Okta's own id of the person; it arrives as `externalId`. */
  readonly oktaId: string
  readonly userName: string
  readonly givenName: string
  readonly familyName: string
  readonly groups: readonly string[]
}

export interface Company {
  readonly employees: readonly Employee[]
  readonly groups: readonly string[]
  /** Design today, Product in a minute. */
  readonly mover: Employee
  /** Of whom Okta says first by an event hook that access has ended. */
  readonly suspended: Employee
  /** A design engineer: in both groups, and so at all servers. */
  readonly leaver: Employee
  /** A designer, hired after all the others. */
  readonly newcomer: Employee
}

export const vendors = [
  { id: 'asana', name: 'Asana' },
  { id: 'atlassian', name: 'Atlassian' },
  { id: 'canva', name: 'Canva' },
  { id: 'figma', name: 'Figma' },
  { id: 'granola', name: 'Granola' },
  { id: 'linear', name: 'Linear' },
  { id: 'supabase', name: 'Supabase' },
] as const

/** The company's own MCP server. */
export const inHouse = { id: 'warehouse', name: 'Warehouse', scopes: ['query:run', 'tables:read'] } as const

export type VendorId = (typeof vendors)[number]['id']
export type ServerId = VendorId | typeof inHouse.id

const everyone = 'Everyone'

/** By group: the scopes that it earns, by server. */
const earned: Readonly<Record<string, Partial<Record<ServerId, readonly string[]>>>> = {
  [everyone]: { asana: ['tasks:read', 'tasks:write'], granola: ['notes:read'] },
  Engineering: {
    atlassian: ['issues:read', 'issues:write', 'wiki:read'],
    linear: ['issues:read', 'issues:write'],
    supabase: ['database:read', 'database:write'],
    warehouse: inHouse.scopes,
  },
  Design: { canva: ['designs:read', 'designs:write'], figma: ['files:read', 'files:write'] },
  Product: { atlassian: ['issues:read', 'wiki:read'], figma: ['files:read'], linear: ['issues:read', 'issues:write'] },
  Marketing: { canva: ['designs:read', 'designs:write'] },
  Sales: { canva: ['designs:read'] },
  Support: { atlassian: ['issues:read', 'issues:write'], linear: ['issues:read'] },
  Finance: {},
}

export interface GroupRule {
  readonly id: string
  readonly server: ServerId
  readonly when: string
  readonly scopes: readonly string[]
}

export const rules: readonly GroupRule[] = Object.entries(earned).flatMap(([group, scopesAt]) =>
  Object.entries(scopesAt).map(([server, scopes]) => ({
    id: `${group.toLowerCase()}-${server}`,
    server: server as ServerId,
    when: `groups.display eq "${group}"`,
    scopes,
  })),
)

/** Where somebody in these groups has access, and with which scopes, sorted. */
export function accessOf(groups: readonly string[]): Map<ServerId, string[]> {
  const access = new Map<ServerId, Set<string>>()
  for (const group of groups) {
    for (const [server, scopes] of Object.entries(earned[group]!) as Array<[ServerId, readonly string[]]>) {
      access.set(server, (access.get(server) ?? new Set()).union(new Set(scopes)))
    }
  }
  return new Map([...access].map(([server, scopes]) => [server, [...scopes].sort()]))
}

export function nameOf({ givenName, familyName }: Employee): string {
  return `${givenName} ${familyName}`
}

/** In hundredths of the company. */
const sizes: ReadonlyArray<readonly [department: string, percent: number]> = [
  ['Engineering', 40],
  ['Sales', 18],
  ['Support', 12],
  ['Marketing', 10],
  ['Design', 8],
  ['Product', 8],
  ['Finance', 4],
]

/** @param people at least 3: who moves, who leaves and who is suspended */
export function foundCompany(people: number): Company {
  const leaver = employ(0, ['Engineering', 'Design'])
  const mover = employ(1, ['Design'])
  const suspended = employ(2, ['Engineering'])
  const others = Array.from({ length: people - 3 }, (_, index) => employ(index + 3, [departmentOf(index)]))
  const newcomer = employ(people, ['Design'])
  return {
    employees: [leaver, mover, suspended, ...others],
    groups: Object.keys(earned),
    mover,
    leaver,
    suspended,
    newcomer,
  }
}

/** 37 and 100 have no common divisor, so that every hundred people are spread as `sizes` says, and well mixed. */
function departmentOf(index: number): string {
  let place = (index * 37) % 100
  return (
    sizes.find(([, percent]) => {
      place -= percent
      return place < 0
    })?.[0] ?? 'Engineering'
  )
}

function employ(index: number, departments: readonly string[]): Employee {
  const givenName = givenNames[index % givenNames.length]!
  const familyName = familyNames[(index + Math.floor(index / givenNames.length)) % familyNames.length]!
  const round = Math.floor(index / (givenNames.length * familyNames.length))
  const suffix = round === 0 ? '' : String(round + 1)
  return {
    oktaId: `00u${index.toString(36).padStart(17, '0')}`,
    userName: `${givenName}.${familyName}${suffix}@acme.example`.toLowerCase(),
    givenName,
    familyName,
    groups: [everyone, ...departments],
  }
}

const givenNames =
  'Ada Grace Amara Bao Carlos Chidi Clara Dalia Daniel Elif Emeka Farah Felix Fumiko Goran Hana Hugo Ines Ivan Jasmin Jonas Kaito Keira Lars Leila Liam Lucia Mei Miguel Mina Nadia Nikhil Noor Olga Omar Paula Priya Rafael Rosa Samir Sofia Tariq Tomas Uma Viktor Wanjiru Xin Yara Yusuf Zoe'.split(
    ' ',
  )
const familyNames =
  'Okafor Lindqvist Abara Aydin Bianchi Castro Chen Cohen Costa Dubois Eriksen Farouk Fischer Garcia Haddad Ito Ivanova Jensen Kamau Kaur Kim Kowalski Laurent Lopez Mahlaba Meyer Mori Nakamura Nguyen Novak Odhiambo Oliveira Patel Petrov Quispe Rao Rossi Sato Schmidt Silva Singh Tanaka Toure Urbina Vargas Walker Weber Yilmaz Zhang Ziegler'.split(
    ' ',
  )
