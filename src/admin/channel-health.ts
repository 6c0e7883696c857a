import { z } from 'zod'
import { instant } from '../http/operation.ts'

const inMs = z.number().nullable()

/** How an event channel is doing, as it is shown. */
export const channelHealth = z
  .object({
    lastEventAt: instant.nullable(),
    lagMs: z.object({ count: z.int(), p50: inMs, p99: inMs }).meta({
      description:
        "From when something happened, by the sender's clock, to its receipt: of the last day, at most the last thousand",
    }),
    firstSignal: z
      .object({
        first: z.int().meta({ description: 'Cuts that this channel told first' }),
        confirmed: z.int().meta({ description: 'Of those, how many another channel or SCIM confirmed within a day' }),
        medianLeadMs: inMs.meta({ description: 'By how much it was ahead of the next' }),
        later: z.int().meta({ description: 'Cuts of which another channel or SCIM had told within the day before' }),
        medianBehindMs: inMs.meta({ description: 'By how much it came behind' }),
      })
      .meta({ description: 'Who tells first of what cuts somebody; of the last 30 days' }),
    waiting: z.int().meta({ description: 'Events that wait for their user to become known' }),
    refusals: z.array(z.object({ reason: z.string(), count: z.int(), firstAt: instant, lastAt: instant })),
    habitMs: inMs.meta({
      description:
        'The longest that nothing came in a fortnight; a young channel is given a day; null: it has no habit',
    }),
    silentSince: instant
      .nullable()
      .meta({ description: 'Since when nothing has come, when that is longer than half again its habit' }),
  })
  .meta({ id: 'ChannelHealth' })
