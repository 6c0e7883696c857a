import { describe, expect, it } from 'vitest'
import { batched } from '../src/batch.ts'
import { waitFor } from './support/wait-for.ts'

describe('batched', () => {
  it('sends what waits while a run is under way together in the next, and answers each its own', async () => {
    const runs: number[][] = []
    const gates: Array<() => void> = []
    const double = batched(
      async (items: number[]) => {
        runs.push(items)
        await new Promise<void>((resolve) => gates.push(resolve))
        return items.map((item) => item * 2)
      },
      { max: 2 },
    )
    const started = (count: number) => waitFor(() => gates.length === count, { what: `run ${count}`, intervalMs: 1 })
    const first = double(1)
    await started(1)
    const rest = [double(2), double(3), double(4)]
    gates[0]!()
    expect(await first).toBe(2)
    await started(2)
    gates[1]!()
    await started(3)
    gates[2]!()
    expect(await Promise.all(rest)).toEqual([4, 6, 8])
    expect(runs).toEqual([[1], [2, 3], [4]])
  })

  it('fails those whose run failed and goes on with the others', async () => {
    const strict = batched(
      async (items: number[]) => {
        if (items.includes(13)) throw new Error('unlucky')
        return items
      },
      { max: 1 },
    )
    const outcomes = await Promise.allSettled([strict(13), strict(14)])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
  })
})
