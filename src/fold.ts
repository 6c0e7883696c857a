/**
 * The one way text is made comparable without case. Whatever is compared that way in SQL is stored folded by this
 * function in a column `collate "C"`, so that no database locale has a say in who equals whom.
 *
 * NFKC first: the same name typed on two keyboards is one name (RFC 8265 §3.3 prepares usernames alike).
 */
export function fold(text: string): string {
  return text.normalize('NFKC').toLowerCase()
}
