import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, createAccount } from './account.ts'
import { signIn } from './agent-story.ts'
import { foundCompany } from './company.ts'
import { aborted, DemoFailure } from './failure.ts'
import type { Figures, Running } from './figures.ts'
import { createScreen, type Screen } from './screen.ts'
import { type Stage, setStage } from './stage.ts'
import { deliveriesFor, move, offboard, onboard, release, replay } from './story.ts'
import { suspend } from './suspension.ts'
import { startTenure, type TenureProcess } from './tenure.ts'

export interface DemoOptions {
  readonly people: number
  /** Leave everything running until SIGINT or SIGTERM. */
  readonly keep?: boolean
  /** The figures as one JSON document on standard output; the rest on standard error. */
  readonly json?: boolean
  /** Tenure's home; default: a temporary one that is removed at the end. */
  readonly home?: string
}

const ill = { hanging: 'figma', failing: 'canva' } as const

/**
 * The whole of Tenure, between an Okta, an identity provider and seven vendors' MCP servers that are played: people join,
 * one moves, one leaves while two servers misbehave, one is suspended. Nothing inside Tenure is; nor is the agent of the one who leaves, in
 * the middle of a call of the company's own MCP server: an MCP client and a server of the official packages.
 *
 * @returns the exit code: 0 when everything happened as promised
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const screen = createScreen(options.json ? process.stderr : process.stdout)
  const home = options.home === undefined ? await mkdtemp(join(tmpdir(), 'tenure-demo-')) : await newHome(options.home)
  const interruption = watchSignals()
  const over = new AbortController()
  const cast: Cast = {}
  const playing = play(options, home, screen, cast, over.signal)
  let failed = false
  try {
    const figures = await Promise.race([playing, interruption.asked])
    if (typeof figures === 'string') return exitCodes[figures]
    failed = !figures.ok
    if (options.keep) await Promise.race([interruption.asked, cast.tenure!.failed])
    return figures.ok ? 0 : 1
  } catch (error) {
    failed = true
    const failure = await reasonOf(error, cast.tenure)
    cast.bar?.stop()
    screen.print(`\n  ${screen.colours.red('✗')} ${failure.message}`)
    if (options.json) process.stdout.write(`${JSON.stringify({ ok: false, failure: failure.message })}\n`)
    return 1
  } finally {
    over.abort()
    await Promise.allSettled([playing])
    cast.bar?.stop()
    await cast.stage?.close()
    await cast.tenure?.stop()
    if (failed) screen.print(`    Tenure's log: ${join(home, 'tenure.log')}`)
    else if (options.home === undefined) await rm(home, { recursive: true, force: true })
    interruption.stop()
  }
}

/** A Tenure that is somebody's must not be played with. */
async function newHome(folder: string): Promise<string> {
  const home = resolve(folder)
  await mkdir(home, { recursive: true, mode: 0o700 })
  if ((await readdir(home)).length > 0) throw new DemoFailure(`${home} is not empty: give the demo a folder of its own`)
  return home
}

/** A broken connection is not the news when Tenure has ended. @throws `error` when it is a bug and not a failure */
async function reasonOf(error: unknown, tenure: TenureProcess | undefined): Promise<DemoFailure> {
  if (error instanceof DemoFailure) return error
  const failed = tenure?.failed ?? new Promise<never>(() => {})
  const reason = await Promise.race([failed, sleep(500)]).catch((failure: unknown) => failure)
  if (reason instanceof DemoFailure) return reason
  throw error
}

/** Whatever has to be stopped, once it is there. */
interface Cast {
  tenure?: TenureProcess
  stage?: Stage
  bar?: { stop(): void }
}

/** @throws DemoFailure, at once when `signal` aborts */
async function play(
  { people, keep, json }: DemoOptions,
  home: string,
  screen: Screen,
  cast: Cast,
  signal: AbortSignal,
): Promise<Figures> {
  const account: Account = createAccount(screen.colours)
  const begin = performance.now()
  const secondsSince = (start: number) => (performance.now() - start) / 1000
  screen.print(screen.colours.dim('\n  Starting Tenure with its embedded database …'))
  const tenure = await startTenure(home, signal)
  cast.tenure = tenure
  const startSeconds = secondsSince(begin)
  const company = foundCompany(people)
  const watched = <T>(work: Promise<T>) => Promise.race([work, tenure.failed, aborted(signal)])
  const stage = await setStage(tenure, company)
  cast.stage = stage
  const { url } = tenure
  screen.print(screen.colours.dim(`  ${url} is up after ${startSeconds.toFixed(1)} s; Okta and eight servers know it`))

  const bar = screen.bar({ people, deliveries: deliveriesFor(company.employees) })
  cast.bar = bar
  const onboarded = await watched(onboard(stage, bar.show))
  bar.stop()
  screen.print(account.onboarded(people, stage.servers.length, onboarded.figures))
  const moved = await watched(move(stage))
  screen.print(account.moved(moved.figures))
  const signedIn = await watched(signIn(stage))
  screen.print(account.signedIn(signedIn.figures))
  const left = await watched(offboard(stage, signedIn.agent, ill))
  screen.print(account.left(left.figures))
  const replayed = await watched(replay(stage, ill.failing))
  const released = await watched(release(stage, ill.hanging, left.hangingSince))
  screen.print(account.mended(replayed.figures, released.figures))
  const suspended = await watched(suspend(stage))
  screen.print(account.suspended(suspended.figures))

  const checks = [onboarded, moved, signedIn, left, replayed, released, suspended].flatMap((part) => part.checks)
  const running: Running = {
    adminUrl: `${url}/admin/v1`,
    scimBaseUrl: stage.scimBaseUrl,
    mcpUrl: stage.warehouse.resource,
    adminKeyFile: tenure.adminKeyFile,
    logFile: tenure.logFile,
  }
  const figures: Figures = {
    ok: checks.every(({ held }) => held),
    people,
    groups: company.groups.length,
    servers: stage.servers.length,
    startSeconds,
    onboarding: onboarded.figures,
    mover: moved.figures,
    agent: signedIn.figures,
    leaver: left.figures,
    replay: replayed.figures,
    release: released.figures,
    suspension: suspended.figures,
    checks,
    ...(keep ? { running } : {}),
  }
  screen.print(account.verdict(figures, secondsSince(begin)))
  if (keep) screen.print(account.running(running, left.figures))
  screen.print()
  if (json) process.stdout.write(`${JSON.stringify(figures, rounded, 2)}\n`)
  return figures
}

const rounded = (_key: string, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value)

/** As a shell has it: 128 and the signal's number. */
const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
type Interruption = keyof typeof exitCodes

/** The first signal asks for a clean end; a second one does not wait for it, and Tenure still stops by itself. */
function watchSignals(): { asked: Promise<Interruption>; stop: () => void } {
  const { promise: asked, resolve } = Promise.withResolvers<Interruption>()
  let isAsked = false
  const onSignal = (signal: NodeJS.Signals) => {
    if (isAsked) process.exit(exitCodes[signal as Interruption])
    isAsked = true
    resolve(signal as Interruption)
  }
  const signals = Object.keys(exitCodes) as Interruption[]
  for (const signal of signals) process.on(signal, onSignal)
  return {
    asked,
    stop: () => {
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}
