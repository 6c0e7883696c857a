import type {
  Figures,
  Left,
  Moved,
  Onboarding,
  Released,
  Replayed,
  Running,
  SignedIn,
  Suspended,
  Told,
} from './figures.ts'
import { type Colours, count } from './screen.ts'

/** The figures in words. Each part begins with an empty line and fits a terminal of 80 columns. */
export interface Account {
  onboarded(people: number, servers: number, figures: Onboarding): string
  moved(figures: Moved): string
  signedIn(figures: SignedIn): string
  left(figures: Left): string
  mended(replayed: Replayed, released: Released): string
  suspended(figures: Suspended): string
  verdict(figures: Pick<Figures, 'ok' | 'checks'>, seconds: number): string
  running(running: Running, leaver: Left): string
}

type Colour = (text: string) => string

const labelWidth = 36
const barWidth = 24

export function createAccount(colours: Colours): Account {
  const { bold, cyan, dim, green, red, yellow } = colours

  const heading = (verb: string, rest: string) => `\n  ${bold(verb)}  ${rest}`
  const row = (label: string, value: string, rest = '') =>
    `    ${label.padEnd(labelWidth)}${value.padStart(9)}${rest === '' ? '' : `  ${rest}`}`

  function timeline(rows: ReadonlyArray<{ label: string; ms: number; digits?: number; colour?: Colour }>) {
    const longest = Math.max(...rows.map(({ ms }) => ms))
    return rows
      .toSorted((a, b) => a.ms - b.ms)
      .map(({ label, ms, digits = 1, colour = green }) => {
        const length = Math.max(1, Math.round((barWidth * ms) / longest))
        return row(label, `${ms.toFixed(digits)} ms`, colour('▇'.repeat(length)))
      })
  }

  return {
    onboarded(people, servers, { seconds, peoplePerSecond, deliveries, deliveriesPerSecond, ...rest }) {
      const rate = (perSecond: number, unit: string) => cyan(`${count(perSecond).padStart(6)} ${unit}`)
      return [
        heading('Onboarded', `in ${seconds.toFixed(1)} s, the last server told of the last person`),
        row('people, from Okta over SCIM', count(people), rate(peoplePerSecond, 'people/s')),
        row(`deliveries, to ${servers} servers`, count(deliveries), rate(deliveriesPerSecond, 'deliveries/s')),
        row('requests of Okta', count(rest.oktaRequests), rate(rest.oktaRequests / rest.oktaSeconds, 'requests/s')),
      ].join('\n')
    },

    moved({ name, from, to, told, untold }) {
      return [
        heading('Moved', `${name}, ${from} → ${to}`),
        ...timeline(told.map((one) => ({ label: `${one.name} ${changeOf(one)}`, ms: one.ms, colour: cyan }))),
        row(`${untold.join(', ')}`, '–', dim('nothing changed, not told')),
      ].join('\n')
    },

    signedIn({ name, serverName, ...figures }) {
      return [
        heading('Signed in', `${name}, whose agent calls ${serverName}, Acme's own MCP server`),
        ...timeline([
          { label: `${serverName} answers 401, names Tenure`, ms: figures.challengedMs },
          { label: 'ID-JAG from the identity provider', ms: figures.idJagMs },
          { label: 'token from Tenure', ms: figures.tokenMs },
          { label: 'the tool answers', ms: figures.answeredMs },
        ]),
      ].join('\n')
    },

    left({ name, hanging, failing, told, agent, ...figures }) {
      const [given] = name.split(' ')
      return [
        heading(
          'Offboarded',
          `${name} in mid-call, while ${hanging.name} hangs and ${failing.name} answers ${failing.status}`,
        ),
        row(`${hanging.name} hangs, a newcomer's grant open`, `${hanging.sinceMs.toFixed(1)} ms`),
        row('Okta sends the deactivation', '0 ms'),
        ...timeline([
          { label: 'received', ms: figures.receivedMs, digits: 0, colour: cyan },
          { label: 'committed: Okta has its 200', ms: figures.committedMs, colour: cyan },
          {
            label: `introspection denies ${figures.tokensDenied} of ${figures.tokens} tokens`,
            ms: figures.introspectionDeniesMs,
            colour: cyan,
          },
          { label: `${given}'s running call has ended`, ms: agent.runningCallMs, colour: cyan },
          { label: 'the next call is answered 401', ms: agent.nextCallMs, colour: cyan },
          {
            label: `silent retry: ${agent.idJagsRefused} of ${agent.idJagsMinted} ID-JAGs fail`,
            ms: agent.retryMs,
            colour: cyan,
          },
          ...told.map((one) => ({ label: `${one.name} told`, ms: one.ms })),
          { label: `${hanging.name} told too, still hangs`, ms: hanging.ms, colour: yellow },
          { label: `${failing.name} told, answers ${failing.status}`, ms: failing.ms, colour: red },
        ]),
      ].join('\n')
    },

    mended(replayed, released) {
      return [
        heading('Mended', `${replayed.name} is well again and an admin replays; ${released.name} wakes up`),
        row(`${replayed.name} told, after the replay`, `${replayed.landedMs.toFixed(1)} ms`),
        row(`${released.name} answers, having hung for`, `${released.heldMs.toFixed(1)} ms`),
      ].join('\n')
    },

    suspended({ name, told, ...figures }) {
      const [given] = name.split(' ')
      return [
        heading('Suspended', `${name}: SCIM says nothing, Okta's event hook does`),
        row("Okta's event hook is sent", '0 ms'),
        ...timeline([
          { label: 'committed: the hook has its 200', ms: figures.answeredMs, colour: cyan },
          {
            label: `introspection denies ${figures.tokensDenied} of ${figures.tokens} tokens`,
            ms: figures.introspectionDeniesMs,
            colour: cyan,
          },
          ...told.map((one) => ({ label: `${one.name} told`, ms: one.ms })),
        ]),
        row(`SCIM deactivates ${given} too`, `${figures.leadMs.toFixed(0)} ms`, dim('confirmed, told to nobody')),
      ].join('\n')
    },

    verdict({ ok, checks }, seconds) {
      const failed = checks.filter(({ held }) => !held).map(({ claim }) => `  ${red('✗')} Not so: ${claim}`)
      const kept = `${checks.length - failed.length} of ${checks.length} promises kept, ${seconds.toFixed(0)} s in all`
      return ['', ...failed, `  ${ok ? green('✓') : red('✗')} ${kept}`].join('\n')
    },

    running({ adminUrl, scimBaseUrl, mcpUrl, adminKeyFile, logFile }, { userId, name }) {
      const [given] = name.split(' ')
      return [
        heading('Still running', 'until Ctrl-C, which stops everything'),
        `    admin API   ${cyan(adminUrl)}`,
        `    admin key   ${adminKeyFile}`,
        `    SCIM        ${cyan(scimBaseUrl)}`,
        `    MCP server  ${cyan(mcpUrl)}`,
        `    log         ${logFile}`,
        '',
        dim(`    ${given}'s timeline, as Tenure tells it:`),
        `    curl -sH "Authorization: Bearer $(cat ${adminKeyFile})" \\\n      ${adminUrl}/users/${userId}/timeline`,
      ].join('\n')
    },
  }
}

function changeOf({ type, scopes }: Told): string {
  if (type === 'access.revoked') return 'revoked'
  return type === 'access.granted' ? 'granted' : `down to ${scopes.join(' ')}`
}
