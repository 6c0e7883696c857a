import type { Filter } from '../../filter/ast.ts'
import { ScimError } from '../errors.ts'
import { isObject } from '../json.ts'
import { type Member, readMembers, requireFewMembers, spelled } from '../members.ts'
import type { PatchOperation } from './parse.ts'
import type { Target } from './path.ts'

/**
 * The net effect of a sequence of operations on a group's members, to be applied as set operations: without reading the
 * members, so that parallel PATCHes cannot lose each other's. `replaceAll`: whoever is not in `add` leaves.
 */
export interface MemberDelta {
  readonly replaceAll: boolean
  readonly add: readonly Member[]
  readonly remove: readonly string[]
}

type MembersTarget = Target & { kind: 'attribute' }

/** Gathers the operations on `members`, in order; the last word on an id counts. */
export class MemberChanges {
  readonly #strict: boolean
  #touched = false
  #replaceAll = false
  #add = new Set<string>()
  #remove = new Set<string>()

  constructor(strict: boolean) {
    this.#strict = strict
  }

  /** @throws ScimError 400 */
  apply(operation: PatchOperation, target: MembersTarget): void {
    this.#touched = true
    if (target.filter) this.#applyFiltered(operation, target.filter)
    else if (target.path.sub) throw new ScimError(400, 'invalidPath', `${operation.text}: members change as a whole`)
    else if (operation.op === 'add') this.#join(operation)
    else if (operation.op === 'replace') this.#replace(operation.value)
    else this.#leave(operation.value)
    requireFewMembers(this.#add.size + this.#remove.size)
  }

  get delta(): MemberDelta | undefined {
    if (!this.#touched) return undefined
    return {
      replaceAll: this.#replaceAll,
      add: [...this.#add].map((value) => ({ value })),
      remove: [...this.#remove],
    }
  }

  #applyFiltered({ op, text }: PatchOperation, filter: Filter): void {
    const ids = idsOf(filter)
    if (!ids) throw new ScimError(400, 'invalidFilter', `${text}: members can be chosen by 'value eq "…"' only`)
    if (op !== 'remove')
      throw new ScimError(400, 'mutability', `${text}: a member cannot be changed, only added or removed`)
    this.#drop(ids)
  }

  #join({ value, implied }: PatchOperation): void {
    const given = isObject(value) && !implied ? [value] : value
    for (const { value: id } of readMembers(given, this.#strict)) {
      this.#remove.delete(id)
      this.#add.add(id)
    }
  }

  #replace(value: unknown): void {
    const members = readMembers(value, this.#strict)
    this.#replaceAll = true
    this.#remove.clear()
    this.#add = new Set(members.map(({ value: id }) => id))
  }

  /** Entra's `Remove` names in `value` whom to remove, and an empty list names nobody; without a value everyone leaves. */
  #leave(value: unknown): void {
    if (value === undefined || value === null) this.#replace([])
    else this.#drop(readMembers(value, this.#strict).map(({ value: id }) => id))
  }

  #drop(ids: readonly string[]): void {
    for (const id of ids) {
      this.#add.delete(id)
      if (!this.#replaceAll) this.#remove.add(id)
    }
  }
}

/** The ids that `value eq "a"`, or several of them joined by `or`, name. */
function idsOf(filter: Filter): string[] | undefined {
  if (filter.kind === 'compare') {
    const isId = filter.op === 'eq' && filter.path.attribute.name === 'value' && typeof filter.value === 'string'
    return isId ? [spelled(filter.value as string)] : undefined
  }
  if (filter.kind !== 'or') return undefined
  const ids = filter.filters.map(idsOf)
  return ids.every((each) => each !== undefined) ? ids.flat() : undefined
}
