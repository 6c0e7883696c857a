import type { SubjectRow } from './subject.ts'

export interface GroupStep {
  readonly id: string
  readonly displayName: string
}

/** A group that contains another. */
export interface Nesting {
  readonly child: string
  readonly parent: string
}

/**
 * How the user comes to be in each of its groups: by group id, a shortest chain from a group that holds the user itself
 * up to that group. Nearest groups first.
 */
export function groupChains(groups: SubjectRow['groups'], nesting: readonly Nesting[]): Map<string, GroupStep[]> {
  const steps = new Map(groups.map(({ value, display }) => [value, { id: value, displayName: display }]))
  const above = Map.groupBy(nesting, ({ child }) => child)
  const direct = groups.filter(({ type }) => type === 'direct').toSorted((a, b) => (a.display < b.display ? -1 : 1))
  const chains = new Map(direct.map(({ value }) => [value, [steps.get(value)!]]))
  // A Map is iterated over what is added meanwhile, too: breadth first.
  for (const [child, chain] of chains) {
    for (const { parent } of above.get(child) ?? []) {
      if (!chains.has(parent)) chains.set(parent, [...chain, steps.get(parent)!])
    }
  }
  return chains
}
