import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { addOperatorCommands } from '../../src/cli/program.ts'

const program = new Command('tenure')
await addOperatorCommands(program, undefined)

function leaves(command: Command, path: string): Array<[string, Command]> {
  const below = command.commands.filter((each) => !['help', 'complete'].includes(each.name()))
  return below.length === 0 ? [[path, command]] : below.flatMap((each) => leaves(each, `${path} ${each.name()}`.trim()))
}

const commands = leaves(program, '')

describe('every command', () => {
  it('is there', () => {
    expect(commands.map(([path]) => path)).toEqual([
      ...['list', 'show', 'add', 'set', 'unknown', 'remove'].map((verb) => `directory ${verb}`),
      ...['list', 'add', 'remove'].map((verb) => `token ${verb}`),
      ...['list', 'set', 'remove'].map((verb) => `issuer ${verb}`),
      ...['list', 'show', 'set-okta', 'set-ssf', 'set-global-token-revocation', 'check', 'events', 'remove'].map(
        (verb) => `channel ${verb}`,
      ),
      ...['list', 'show', 'add', 'set', 'pause', 'resume', 'rotate-secret', 'remove'].map((verb) => `server ${verb}`),
      ...['list', 'add', 'remove'].map((verb) => `server credential ${verb}`),
      ...['list', 'show', 'add', 'set', 'rotate-secret', 'remove', 'presets'].map((verb) => `client ${verb}`),
      ...['list', 'show', 'set', 'test', 'remove'].map((verb) => `rule ${verb}`),
      ...['list', 'show', 'why', 'timeline', 'cut', 'release'].map((verb) => `user ${verb}`),
      ...['list', 'show', 'revoke'].map((verb) => `grant ${verb}`),
      ...['list', 'show'].map((verb) => `delivery ${verb}`),
      ...['list', 'replay'].map((verb) => `job ${verb}`),
      'event list',
      ...['list', 'add', 'remove'].map((verb) => `key ${verb}`),
      ...['list', 'rotate'].map((verb) => `signing-key ${verb}`),
      'audit list',
      'alarm',
      'stats',
      'check',
      'completion',
    ])
  })

  it.each(commands)('%s has an example in its help, of itself', (path, command) => {
    const help: string[] = []
    command.configureOutput({ writeOut: (text) => void help.push(text) }).outputHelp()
    const [, examples] = help.join('').split(/^Examples?:$/m)
    expect(examples).toMatch(new RegExp(`tenure ${path.replace(/ list$/, '( list)?')}\\b`))
  })

  it.each(commands.filter(([path]) => path !== 'completion'))('%s has --json and --quiet', (_path, command) => {
    expect(command.options.map(({ long }) => long)).toEqual(expect.arrayContaining(['--json', '--quiet']))
  })

  it.each(commands.filter(([path]) => /(remove|cut|revoke)$/.test(path)))(
    '%s asks, or takes --yes',
    (_path, command) => {
      expect(command.options.map(({ long }) => long)).toContain('--yes')
    },
  )

  it.each(commands.filter(([path]) => path.endsWith(' list')))('%s takes --limit', (_path, command) => {
    expect(command.options.map(({ long }) => long)).toContain('--limit')
  })

  it('takes no key on its command line, where every process could read it', () => {
    for (const [, command] of commands) for (const { long } of command.options) expect(long).not.toMatch(/key/)
  })
})
