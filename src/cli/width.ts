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
