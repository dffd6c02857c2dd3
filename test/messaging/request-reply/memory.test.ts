// Requests and replies on the memory transport, with private places and without.
import { afterAll, describe, test } from 'vitest'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { requestCases } from './cases.ts'

const runner = { describe, test, afterAll }

for (const autoCreate of [true, false]) {
  const broker = memoryBroker({ autoCreate })
  await requestCases(
    autoCreate ? 'memory' : 'memory that makes no channels by itself',
    () => ({ open: () => memoryTransport({ broker }), close: async () => undefined }),
    runner,
    { briefMs: 200 },
  )
}

const broker = memoryBroker()
await requestCases(
  'memory without private places',
  () => ({
    open: () => {
      const transport = memoryTransport({ broker })
      return Object.assign(Object.create(transport) as typeof transport, {
        capabilities: { ...transport.capabilities, temporary: false },
        receive: transport.receive.bind(transport),
        send: transport.send.bind(transport),
        prepare: transport.prepare.bind(transport),
        close: transport.close.bind(transport),
      })
    },
    close: async () => undefined,
  }),
  runner,
  { replies: () => ({ kind: 'topic', name: 'all-replies' }), briefMs: 200 },
)
