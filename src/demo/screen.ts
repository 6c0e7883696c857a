import cliProgress from 'cli-progress'
import pc from 'picocolors'
import type { Progress } from './story.ts'

export type Colours = ReturnType<typeof pc.createColors>

/** Where the demo is told to the reader: standard output, or standard error when that is for the figures. */
export interface Screen {
  readonly colours: Colours
  print(text?: string): void
  /** A bar at a terminal, a line every tenth elsewhere. */
  bar(total: Progress): { show(progress: Progress): void; stop(): void }
}

export function createScreen(out: NodeJS.WriteStream): Screen {
  const colours = pc.createColors(pc.isColorSupported && out.isTTY === true)
  const print = (text = '') => void out.write(`${text}\n`)
  return { colours, print, bar: out.isTTY ? drawnBar : plainBar }

  function drawnBar(total: Progress) {
    const bar = new cliProgress.SingleBar({
      stream: out,
      format: `  ${colours.cyan('{bar}')}  {people} people · {deliveries} deliveries · {duration} s`,
      barsize: 32,
      barCompleteChar: '━',
      barIncompleteChar: '╌',
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
    })
    bar.start(total.people + total.deliveries, 0, shown({ people: 0, deliveries: 0 }))
    return {
      show: (progress: Progress) => bar.update(progress.people + progress.deliveries, shown(progress)),
      stop: () => bar.stop(),
    }
  }

  function plainBar(total: Progress) {
    let tenths = 0
    return {
      show({ people, deliveries }: Progress) {
        const now = Math.floor((10 * (people + deliveries)) / (total.people + total.deliveries))
        if (now === tenths) return
        tenths = now
        print(`  ${String(tenths * 10).padStart(3)} %  ${count(people)} people, ${count(deliveries)} deliveries`)
      },
      stop() {},
    }
  }
}

function shown({ people, deliveries }: Progress) {
  return { people: count(people), deliveries: count(deliveries) }
}

export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US')
}
