const largestAnswer = 65_536

/**
 * A fetch that follows no redirect, reads at most 64 KiB, ends within `timeoutMs` body included, and tries once more when
 * the connection broke: one that is kept open may be closed by the other side just as it is used.
 *
 * @throws Error whose message names no URL and quotes nothing
 */
export async function fetchText(
  fetcher: typeof fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(timeoutMs)
  const once = () => fetcher(url, { ...init, redirect: 'manual', signal })
  const response = await once().catch((error) => {
    if (signal.aborted) throw error
    return once()
  })
  return { status: response.status, text: await textOf(response) }
}

async function textOf({ body }: Response): Promise<string> {
  if (!body) return ''
  const decoder = new TextDecoder()
  let size = 0
  let text = ''
  for await (const chunk of body) {
    size += chunk.byteLength
    if (size > largestAnswer) throw new Error('The answer is too large')
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}
