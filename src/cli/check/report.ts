import { count } from '../command.ts'
import { plain } from '../plain.ts'
import type { Paper } from '../table.ts'
import { pad, widthOf, wrap } from '../width.ts'
import { type Report, type Subject, subjects } from './check.ts'
import type { Finding, Level } from './findings.ts'

const titles: Readonly<Record<Subject, string>> = {
  server: 'MCP server',
  'resource-metadata': 'Protected-resource metadata',
  'authorization-server': 'Authorization server',
  trial: 'Trial',
}

const marks: Readonly<Record<Level, string>> = { ok: '✓', warning: '!', fault: '✗' }

/** What is in order in a line each, the rest with its reason and its fix, the verdict last. */
export function drawReport(report: Report, paper: Paper): string {
  const { colours } = paper
  const sections = subjects.flatMap((subject) => {
    const findings = report.findings.filter(({ about }) => about === subject)
    if (findings.length === 0) return []
    const idWidth = Math.max(...findings.map(({ id }) => widthOf(id)))
    return [colours.bold(titles[subject]), ...findings.flatMap((each) => drawFinding(each, idWidth, paper)), '']
  })
  return [...sections, drawVerdict(report, paper)].join('\n')
}

function drawFinding(finding: Finding, idWidth: number, { width, colours }: Paper): string[] {
  const { id, level, seen, why, fix } = finding
  const paint = { ok: colours.green, warning: colours.yellow, fault: colours.red }[level]
  const lead = `  ${paint(marks[level])} ${level === 'ok' ? pad(id, idWidth) : paint(pad(id, idWidth))}  `
  const [first = '', ...rest] = lines(seen, idWidth + 6, width)
  const head = [lead + first, ...rest]
  if (fix === null) return head
  return [...head, ...labelled('why', why, width).map((line) => colours.dim(line)), ...labelled('fix', fix, width)]
}

function labelled(label: string, text: string, width: number | undefined): string[] {
  const lead = `      ${label}  `
  const [first = '', ...rest] = lines(text, lead.length, width)
  return [lead + first, ...rest]
}

/** All but the first one indented. */
function lines(text: string, indent: number, width: number | undefined): string[] {
  const whole = width === undefined ? [text] : wrap(text, width - indent)
  return whole.map((line, index) => (index === 0 ? line : ' '.repeat(indent) + line))
}

function drawVerdict({ url, ready, issuer, findings }: Report, { colours }: Paper): string {
  const numberOf = (level: Level) => findings.filter((each) => each.level === level).length
  const numbers = [
    ...(numberOf('fault') > 0 ? [count(numberOf('fault'), 'fault')] : []),
    ...(numberOf('warning') > 0 ? [count(numberOf('warning'), 'warning')] : []),
  ].join(', ')
  const verdict = ready ? colours.green('is ready for EMA') : colours.red('is not ready for EMA')
  const isTried = issuer === null || findings.some(({ about }) => about === 'trial')
  const untried = isTried ? '' : colours.dim('\nWhether a cut ends its tokens is not known: --id-jag tries it.')
  return `${plain(url)} ${verdict}${numbers === '' ? '' : `: ${numbers}`}${untried}`
}
