import { Queue as BullQueue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { Logger } from '../log.ts'
import type { Backend } from './bullmq-queue.ts'

/**
 * BullMQ on Redis or Valkey. Producers have a connection of their own that fails at once when Redis is away (with the
 * default options `add` waits without end); workers have one that waits for it to come back.
 */
export function createRedisQueueBackend(url: string, log: Logger): Backend {
  const producer = connect(url, log, { enableOfflineQueue: false, maxRetriesPerRequest: 1, connectTimeout: 2_000 })
  const consumer = connect(url, log, { maxRetriesPerRequest: null })
  return {
    name: 'redis',
    createQueue: (spec, options) =>
      new BullQueue(spec.name, {
        connection: producer,
        skipWaitingForReady: true,
        skipVersionCheck: true,
        ...options,
      } as never),
    createWorker: (spec, processor, options) =>
      new Worker(spec.name, processor, { connection: consumer, concurrency: spec.concurrency, ...options }),
    stopWaiting: () => {},
    ping: () => producer.ping(),
    close: async () => {
      producer.disconnect()
      consumer.disconnect()
    },
  }
}

function connect(url: string, log: Logger, options: object): Redis {
  const redis = new Redis(url, { ...options, retryStrategy: (times: number) => Math.min(times * 100, 1_000) })
  redis.on('error', (error) => log.debug({ error }, 'redis.error'))
  return redis
}
