// A runner makes the queues that its process sends to: a command to one that is not there would be a dead letter, and the process would hang.
import { expect, it } from 'vitest'
import { z } from 'zod'
import { memoryStore, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createOutbox, createProcessRunner, defineProcess, queue, topic } from '../../../src/messaging/index.ts'

const Of = z.object({ id: z.string() })
const Orders = topic('orders', { 'order.created': Of })
const Payments = queue('payments', { 'payment.take': Of })
const Returns = queue('returns', { 'payment.back': Of })
const Questions = queue('questions', { 'payment.find': { schema: Of, reply: Of } })

const process = defineProcess('pay', { state: Of })
  .step('payment', Payments, 'payment.take')
  .undo('payment', Returns, 'payment.back', ({ sent }) => sent)
  .ask(
    'payment',
    Questions,
    'payment.find',
    ({ sent }) => sent,
    () => 'unknown',
  )
  .starts(Orders, 'order.created', { id: ({ data }) => data.id, state: ({ data }) => data, sends: ['payment'] })

async function preparedBy(unroutable: 'detected' | 'impossible', prepare?: 'check' | false) {
  const memory = memoryTransport()
  const said: string[] = []
  const transport = Object.create(memory, {
    capabilities: { value: { ...memory.capabilities, unroutable } },
    prepare: {
      value: (channels: Parameters<MessageTransport['prepare']>[0], mode: 'create' | 'check') => {
        said.push(...channels.map(({ kind, name }) => `${mode} ${kind} ${name}`))
        return memory.prepare(channels, 'create')
      },
    },
  }) as MessageTransport
  const store = memoryStore()
  const runner = createProcessRunner({ process, store, outbox: createOutbox(store), transport, prepare })
  await runner.start()
  await runner.close()
  return said
}

const SENT_TO = ['queue payments', 'queue returns', 'queue questions']

it('makes them before it takes anything, where a message to nowhere is refused', async () => {
  expect((await preparedBy('detected')).slice(0, 3)).toEqual(SENT_TO.map((each) => `create ${each}`))
})

it('only looks where that is asked for, and leaves it where it is not', async () => {
  expect(await preparedBy('detected', 'check')).toEqual(expect.arrayContaining(SENT_TO.map((each) => `check ${each}`)))
  expect(await preparedBy('detected', false)).toEqual([])
})

it('leaves it where a send makes them', async () => {
  expect(await preparedBy('impossible')).not.toContain('create queue payments')
})
