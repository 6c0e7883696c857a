import { Pool } from 'undici'
import { DemoFailure } from './failure.ts'

/** What Tenure gave a server when it was registered. */
export interface Registration {
  readonly url: string
  readonly signingSecret: string
  readonly clientId: string
  readonly clientSecret: string
}

/** What a server asks Tenure, with its own credentials. Every call rejects unless the answer is 2xx. */
export interface Asking {
  /** Whether Tenure still calls the token good. */
  isActive(token: string): Promise<boolean>
  /** Reports a token that another authorization server has issued. */
  recordGrant(grant: Readonly<Record<string, unknown>>): Promise<void>
  close(): Promise<void>
}

export function createAsking(name: string, { url, clientId, clientSecret }: Registration): Asking {
  const pool = new Pool(url, { connections: 2 })
  const authorization = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`

  async function ask(path: string, contentType: string, body: string) {
    const headers = { authorization, 'content-type': contentType }
    const response = await pool.request({ method: 'POST', path, headers, body })
    const text = await response.body.text()
    if (response.statusCode >= 300)
      throw new DemoFailure(`${name}'s ${path} was answered ${response.statusCode}: ${text}`)
    return JSON.parse(text)
  }

  return {
    async isActive(token) {
      const form = new URLSearchParams({ token }).toString()
      const { active } = await ask('/oauth2/introspect', 'application/x-www-form-urlencoded', form)
      return active
    },
    async recordGrant(grant) {
      await ask('/admin/v1/grants', 'application/json', JSON.stringify(grant))
    },
    close: () => pool.destroy(),
  }
}
