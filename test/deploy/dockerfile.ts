export type Instruction = [name: string, value: string]

export interface Stage {
  /** With build arguments filled in by their defaults. */
  from: string
  instructions: Instruction[]
}

/** As much of a Dockerfile as ours needs: continued lines, comments, stages, arguments before the first of them. */
export function dockerfile(text: string): { stages: Stage[]; last: Instruction[] } {
  const lines = text
    .replace(/^\s*#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const instructions = lines.map((line): Instruction => {
    const [, name, value] = /^([A-Z]+) +(.*)$/.exec(line) ?? []
    if (!name) throw new Error(`no instruction: ${line}`)
    return [name, value!]
  })
  const defaults = new Map<string, string>()
  const stages: Stage[] = []
  for (const [name, value] of instructions) {
    if (name === 'FROM')
      stages.push({ from: value.replace(/\$\{(\w+)\}/g, (_, arg) => defaults.get(arg)!), instructions: [] })
    else if (stages.length > 0) stages.at(-1)!.instructions.push([name, value])
    else if (name === 'ARG') defaults.set(value.split('=')[0]!, value.split('=')[1]!)
  }
  return { stages, last: stages.at(-1)!.instructions }
}
