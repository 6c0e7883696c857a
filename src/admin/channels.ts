import type { Egress } from '../connectors/egress.ts'
import type { Database } from '../db/pool.ts'
import { readChannelHealth } from '../directory/channel-health.ts'
import type { ChannelName } from '../directory/channel-name.ts'
import { type ChannelRecord, type Channels, channelKinds } from '../directory/channels.ts'
import type { Directories } from '../directory/directories.ts'
import { Conflict, NotFound } from '../errors.ts'
import { type Operation, operation, pageOf, reply } from '../http/operation.ts'
import { problem } from '../http/problem.ts'
import { channelEventOperation } from './channel-events.ts'
import { anyChannel, type ConfigurableKind, type Form, forms } from './channel-kinds.ts'
import { shownChannel } from './channel-shown.ts'

const tag = 'Event channels'

export interface ChannelOperationParts {
  readonly channels: Channels
  readonly db: Database
  readonly directories: Pick<Directories, 'get'>
  readonly egress: Pick<Egress, 'request' | 'checkConfiguredUrl'>
  readonly publicUrl: () => string
}

/** `/directories/{id}/channels`: over which ways, beside SCIM, a directory is told of its people. */
export function channelOperations(parts: ChannelOperationParts): Operation[] {
  const { channels, db, directories, publicUrl } = parts
  return [
    operation({
      method: 'get',
      path: '/directories/{id}/channels',
      operationId: 'listChannels',
      summary: 'List the event channels of a directory',
      tag,
      answers: { 200: pageOf(anyChannel) },
      async handle({ params }) {
        const items = await readAll(await channels.list(params.id), { directoryId: params.id })
        return { items, next: null } as never
      },
    }),
    ...channelKinds.flatMap((kind) => operationsOf(kind, forms[kind])),
  ]

  function operationsOf(kind: ConfigurableKind, form: Form): Operation[] {
    const path = `/directories/{id}/channels/${kind}` as '/directories/{id}/channels/okta'
    return [
      operation({
        method: 'put',
        path,
        operationId: `put${form.name}Channel`,
        summary: `Set up an event channel of ${form.called}`,
        description:
          'In force for what begins after the answer. Settings that are left out are the defaults; secrets stay.',
        tag,
        body: form.body,
        answers: { 200: form.shown, 201: form.shown },
        async handle({ params: { id: directoryId }, body }) {
          await directories.get(directoryId)
          const before = await channels.get({ directoryId, kind }).catch(noneYet)
          const given = await form.given(body as never, { egress: parts.egress, before })
          const { isNew } = await channels.put({ directoryId, kind }, given)
          return reply(isNew ? 201 : 200, await readOne({ directoryId, kind }))
        },
      }),
      operation({
        method: 'get',
        path,
        operationId: `get${form.name}Channel`,
        summary: 'Show the channel, and how it is doing',
        description: `Of ${form.called}. Never a secret.`,
        tag,
        answers: { 200: form.shown },
        handle: ({ params }) => readOne({ directoryId: params.id, kind }),
      }),
      operation({
        method: 'delete',
        path,
        operationId: `delete${form.name}Channel`,
        summary: 'Remove the channel',
        description: 'Nothing is taken over it from the answer on. What it told stays, and so does what it cut.',
        tag,
        answers: { 204: undefined },
        handle: ({ params }) => channels.remove({ directoryId: params.id, kind }),
      }),
      ...(form.works === undefined ? [] : [checkOperation(kind, form, path)]),
      channelEventOperation(parts, kind, form.name, path, tag),
    ]
  }

  function checkOperation(kind: ConfigurableKind, form: Form, path: '/directories/{id}/channels/okta'): Operation {
    return operation({
      method: 'post',
      path: `${path}/check` as '/directories/{id}/channels/okta/check',
      operationId: `check${form.name}Channel`,
      summary: 'Ask the sender at once',
      description: `${form.works} A worker does it within seconds; the channel shows what came of it.`,
      tag,
      answers: { 202: form.shown, 409: problem },
      async handle({ params: { id: directoryId } }) {
        if (!(await channels.workNow({ directoryId, kind })))
          throw new Conflict('Nothing is asked of this sender: it only sends')
        return reply(202, await readOne({ directoryId, kind }))
      },
    })
  }

  /** A channel that was removed meanwhile is not among them. */
  async function readAll(records: readonly ChannelRecord[], of: { directoryId: string; kind?: string }) {
    const health = new Map((await readChannelHealth(db, of)).map(({ directoryId: _, kind, ...rest }) => [kind, rest]))
    return records.flatMap((record) => {
      const found = health.get(record.kind)
      return found === undefined ? [] : shownChannel(record, found, publicUrl())
    })
  }

  async function readOne(name: ChannelName) {
    const [one] = await readAll([await channels.get(name)], name)
    if (one === undefined) throw new NotFound(`Channel "${name.kind}" of directory "${name.directoryId}" not found`)
    return one as never
  }
}

function noneYet(error: unknown): undefined {
  if (!(error instanceof NotFound)) throw error
}
