import { describe, expect, it } from 'vitest'
import { Turns } from '../../src/directory/turns.ts'
import { Unavailable } from '../../src/errors.ts'

/** Work that is over when it is told so. */
function held() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { work: () => promise, end: resolve }
}

describe('turns', () => {
  it('come one after another for one key, in order, also after one that fails, and wait for no other key', async () => {
    const turns = new Turns()
    const first = held()
    const done: string[] = []
    const note = (name: string) => async () => void done.push(name)
    const failing = turns.take('a', async () => {
      await first.work()
      throw new Error('broken')
    })
    const all = [turns.take('a', note('second')), turns.take('a', note('third'))]
    await turns.take('b', note('other'))
    expect(done).toEqual(['other'])
    first.end()
    await expect(failing).rejects.toThrow('broken')
    await Promise.all(all)
    expect(done).toEqual(['other', 'second', 'third'])
  })

  it('are refused when too many wait, and given again once they are over', async () => {
    const turns = new Turns({ most: 2 })
    const first = held()
    const taken = [turns.take('a', first.work), turns.take('a', async () => {})]
    await expect(turns.take('a', async () => {})).rejects.toThrow(Unavailable)
    first.end()
    await Promise.all(taken)
    await expect(turns.take('a', async () => 'mine')).resolves.toBe('mine')
  })

  it('are given up by who waits too long behind one that is stuck, and that work is never run', async () => {
    const turns = new Turns({ longestMs: 5 })
    const stuck = held()
    const ran: string[] = []
    const first = turns.take('a', stuck.work)
    for (const name of ['late', 'later'])
      await expect(turns.take('a', async () => void ran.push(name))).rejects.toThrow(Unavailable)
    stuck.end()
    await first
    await expect(turns.take('a', async () => 'mine')).resolves.toBe('mine')
    expect(ran).toEqual([])
  })
})
