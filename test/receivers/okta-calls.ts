import { randomUUID } from 'node:crypto'
import { type LogEvent, logEvent, type Party, party } from '../../src/demo/okta-events.ts'
import type { Answer } from '../support/clients.ts'
import type { Person } from './world.ts'

export { type LogEvent, logEvent, type Party, party }

export const orgUrl = 'https://acme.okta.example'
export const appId = '0oatenure00000000001'

export type Named = Pick<Person, 'oktaId' | 'userName'>

export function userTarget({ oktaId, userName }: Named): Party {
  return party(oktaId, 'User', userName)
}

export const ourApp: Party = party(appId, 'AppInstance', 'Tenure')
export const anotherApp: Party = party('0oaanother0000000001', 'AppInstance', 'Payroll')

/** The body of a hook call (reference §1.3). */
export function envelope(events: readonly unknown[]): Record<string, unknown> {
  return {
    eventType: 'com.okta.event_hook',
    eventTypeVersion: '1.0',
    cloudEventsVersion: '0.1',
    source: `${orgUrl}/api/v1/eventHooks/who123`,
    eventId: randomUUID(),
    eventTime: new Date().toISOString(),
    contentType: 'application/json',
    data: { events },
  }
}

export interface HookAnswer extends Omit<Answer, 'body'> {
  readonly text: string
}

/** `body` as text goes as it is. */
export async function post(url: string, secret: string | undefined, body: unknown): Promise<HookAnswer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(secret === undefined ? {} : { authorization: secret }) },
    body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  })
  return { status: response.status, headers: response.headers, text: await response.text() }
}
