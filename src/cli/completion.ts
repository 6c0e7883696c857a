import type { Command } from 'commander'

/**
 * `tenure completion <shell>`, and the hidden `tenure complete` that its script asks at every Tab. It walks all commands,
 * so it comes last; only loaded when one of them is meant or all are listed, since every other command would pay for it.
 */
export async function addCompletion(program: Command): Promise<void> {
  const { default: tab } = await import('@bomb.sh/tab/commander')
  tab(program, { completionCommandName: 'completion' })
  program.commands
    .find((command) => command.name() === 'completion')
    ?.description('a script that completes commands and options in your shell')
    .addHelpText(
      'after',
      `
Examples:
  source <(tenure completion bash)                     # needs the package bash-completion
  tenure completion zsh > ~/.tenure-completion.zsh     # then: source it in ~/.zshrc
  tenure completion fish > ~/.config/fish/completions/tenure.fish
  tenure completion powershell | Out-String | Invoke-Expression`,
    )
}
