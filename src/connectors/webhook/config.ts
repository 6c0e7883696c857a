import { z } from 'zod'
import { Invalid } from '../../errors.ts'
import type { Egress } from '../egress.ts'

export interface WebhookConfig {
  readonly url: string
}

const longestUrl = 2_048

const shape = z.strictObject({ type: z.literal('webhook').optional(), url: z.string().max(longestUrl) })

/**
 * What an operator says of a webhook, with or without its `type`. The URL is kept as it was written.
 *
 * @throws Invalid with its problems by field
 */
export function parseWebhookConfig(input: unknown, egress: Pick<Egress, 'checkConfiguredUrl'>): WebhookConfig {
  const parsed = shape.safeParse(input)
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ field: key, message: 'is not a known field' }))
        : [{ field: issue.path.join('.'), message: issue.message }],
    )
    throw new Invalid('This is not the configuration of a webhook', problems)
  }
  const { url } = parsed.data
  egress.checkConfiguredUrl(url, 'url')
  return { url }
}
