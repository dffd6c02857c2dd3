// What a process and a stored requester need of a transport: a queue of their own, and what they listen to. What lacks it is refused before anything is sent.
import { expect, it } from 'vitest'
import { z } from 'zod'
import { httpFeedTransport } from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints, memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { MessageTransport, TransportCapabilities } from '../../../src/core/contracts/transport.ts'
import { createOutbox, createStoredRequester, queue, topic } from '../../../src/messaging/index.ts'
import { createProcessRunner, defineProcess } from '../../../src/messaging/process/index.ts'

const store = memoryStore()
const outbox = createOutbox(store)
const feed = httpFeedTransport({ url: 'http://127.0.0.1:1/feeds', checkpoints: memoryCheckpoints() })
const memory = memoryTransport()
const only = (modes: TransportCapabilities['modes']): MessageTransport =>
  Object.create(memory, {
    name: { value: `only ${modes}` },
    capabilities: { value: { ...memory.capabilities, modes } },
  }) as MessageTransport
const Of = z.object({ id: z.string() })
const Orders = topic('orders', { 'order.created': Of })
const Jobs = queue('jobs', { 'job.wanted': { schema: Of, reply: Of } })

const listening = (channel: typeof Orders | typeof Jobs, type: string) =>
  (defineProcess('p', { state: Of }) as any).starts(channel, type, {
    id: ({ data }: { data: { id: string } }) => data.id,
    state: ({ data }: { data: { id: string } }) => data,
  })

const lacks = (make: () => unknown, transport: string, needed: string, promised: string): void => {
  const refused = (() => {
    try {
      return make()
    } catch (error) {
      return error
    }
  })()
  expect(refused).toMatchObject({
    code: 'CAPABILITY_MISSING',
    effect: 'none',
    transport,
    details: { unmet: [{ need: 'modes', needed, promised }] },
  })
}

it('a process needs a queue, also where all that it listens to are topics', () => {
  const process = listening(Orders, 'order.created')
  const runner = (transport: unknown) => () => createProcessRunner({ process, store, outbox, transport } as never)
  lacks(runner(feed), feed.name, 'topic,queue', 'topic')
  lacks(runner(only(['queue'])), 'only queue', 'topic,queue', 'queue')
  expect(runner(memory)).not.toThrow()
})

it('a process that listens to queues alone needs no topics', () => {
  const process = listening(Jobs, 'job.wanted')
  const runner = (transport: unknown) => () => createProcessRunner({ process, store, outbox, transport } as never)
  expect(runner(only(['queue']))).not.toThrow()
  lacks(runner(feed), feed.name, 'queue', 'topic')
})

it('an earlier version that listens to a topic needs it still', () => {
  const before = listening(Orders, 'order.created')
  const process = (defineProcess('p', { state: Of, version: 2, earlier: [before] }) as any).starts(Jobs, 'job.wanted', {
    id: ({ data }: { data: { id: string } }) => data.id,
    state: ({ data }: { data: { id: string } }) => data,
  })
  lacks(
    () => createProcessRunner({ process, store, outbox, transport: only(['queue']) } as never),
    'only queue',
    'queue,topic',
    'queue',
  )
})

it('a stored requester needs a queue for replies', () => {
  const requester = (transport: unknown) => () =>
    createStoredRequester({
      name: 'r',
      store,
      outbox,
      transport,
      channel: Jobs,
      replies: 'r-replies',
      handlers: { 'job.wanted': { reply: () => {}, timeout: () => {} } },
    } as never)
  lacks(requester(feed), feed.name, 'queue', 'topic')
  expect(requester(only(['queue']))).not.toThrow()
})
