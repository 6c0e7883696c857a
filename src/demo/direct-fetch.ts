import { Agent, fetch as undiciFetch } from 'undici'

/**
 * A fetch that heeds no proxy of the reader's environment: whatever the demo asks is on this machine. It answers with the
 * platform's own Response, by which the MCP client knows an OAuth error for one.
 */
export function createDirectFetch(): { fetch: typeof fetch; close(): Promise<void> } {
  const dispatcher = new Agent()
  async function ask(input: string | URL, init?: object): Promise<Response> {
    const { body, status, statusText, headers } = await undiciFetch(input, { ...init, dispatcher })
    return new Response(body, { status, statusText, headers: [...headers] })
  }
  return { fetch: ask as typeof fetch, close: () => dispatcher.destroy() }
}
