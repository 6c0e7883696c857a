import stringWidth from 'string-width'

export { stringWidth as widthOf }

const graphemes = new Intl.Segmenter('en')

/** The text in at most so many cells of a terminal, with `…` where it was cut. Plain text: no colours. */
export function shorten(text: string, width: number): string {
  if (stringWidth(text) <= width) return text
  let kept = ''
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(kept + segment) > width - 1) break
    kept += segment
  }
  return width < 1 ? '' : `${kept}…`
}

/** The text in exactly so many cells. */
export function pad(text: string, width: number, side: 'left' | 'right' = 'right'): string {
  const fitted = shorten(text, width)
  const space = ' '.repeat(width - stringWidth(fitted))
  return side === 'right' ? fitted + space : space + fitted
}

/** At spaces; a word that is longer than a line is cut into lines. */
export function wrap(text: string, room: number): string[] {
  const width = Math.max(10, room)
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && stringWidth(`${line} ${word}`) > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
    while (stringWidth(line) > width) {
      const head = shorten(line, width + 1).slice(0, -1)
      lines.push(head)
      line = line.slice(head.length)
    }
  }
  return [...lines, line]
}
