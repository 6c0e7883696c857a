const unprintable = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu

/**
 * Text from elsewhere as one line that a terminal only shows. A userName or a server's error may carry escape sequences
 * or bidirectional overrides; here they cannot move the cursor, recolour or reorder anything.
 */
export function plain(text: unknown): string {
  return String(text ?? '').replace(unprintable, ' ')
}
