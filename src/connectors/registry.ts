import { Invalid } from '../errors.ts'
import type { Connector } from './connector.ts'
import type { Egress } from './egress.ts'
import { parseWebhookConfig } from './webhook/config.ts'
import { createWebhookConnector } from './webhook/webhook.ts'

/** Every way a server can be told, by its kind (`type` in the admin API). */
export interface Connectors {
  readonly kinds: readonly string[]
  /** @throws Invalid when there is no such kind */
  for(kind: string): Connector
  /**
   * What is stored of a connector that an operator asks for.
   *
   * @throws Invalid with problems by field, relative to the connector
   */
  parseConfig(kind: string, input: unknown): Readonly<Record<string, unknown>>
}

interface Kind {
  readonly connector: Connector
  parseConfig(input: unknown): Readonly<Record<string, unknown>>
}

export function createConnectors({
  egress,
  timeoutMs,
  now,
}: {
  egress: Egress
  timeoutMs?: number
  now?: () => Date
}): Connectors {
  const webhook = createWebhookConnector({
    egress,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(now === undefined ? {} : { now }),
  })
  const kinds = new Map<string, Kind>([
    ['webhook', { connector: webhook, parseConfig: (input) => ({ ...parseWebhookConfig(input, egress) }) }],
  ])

  function find(kind: string): Kind {
    const found = kinds.get(kind)
    if (found !== undefined) return found
    const message = `must be one of ${[...kinds.keys()].join(', ')}`
    throw new Invalid(`The type of a connector ${message}`, [{ field: 'type', message }])
  }

  return {
    kinds: [...kinds.keys()],
    for: (kind) => find(kind).connector,
    parseConfig: (kind, input) => find(kind).parseConfig(input),
  }
}
