// What a handler publishes is part of the transaction of its inbox.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { memoryStore } from '../../../src/adapters/memory/index.ts'
import type { OutboxRow } from '../../../src/core/contracts/store.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createOutbox, dead, queue } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { gate } from '../consumer/kit.ts'
import { count, inboxBench } from './kit.ts'

const Mails = queue('mails', { mail: z.object({ to: z.string() }) })

test('published once, whatever becomes of the attempts; it belongs where its cause belongs', async () => {
  const clock = fakeClock()
  const made = memoryStore({ clock })
  const rows: OutboxRow[] = []
  const store = {
    ...made,
    outbox: {
      ...made.outbox,
      append: (tx: never, given: readonly OutboxRow[]) => {
        rows.push(...given)
        return made.outbox.append(tx, given)
      },
    },
  }
  const outbox = createOutbox(store, { clock, source: '/billing' })
  let calls = 0
  const { broker, settle } = await inboxBench({
    clock,
    store,
    handlers: {
      placed: async ({ id }, { tx }) => {
        await outbox.publish(tx, Mails, { type: 'mail', data: { to: id } })
        calls++
        if (calls === 1) throw new Error('no')
        if (calls === 2) throw createError({ code: 'TRANSACTION_CONFLICT' })
        if (id === 'dead') return dead('no')
        return undefined
      },
    },
  })
  broker.deliver({ id: 'a', attributes: { correlationid: 'order 7' } })
  await settle()
  broker.deliver({ id: 'a' })
  broker.deliver({ id: 'dead' })
  await settle()
  expect([calls, (await store.outbox.stats()).backlog]).toEqual([4, 1])
  expect(
    rows.map(({ envelope }) => [envelope.attributes['correlationid'], envelope.attributes['causationid']]),
  ).toEqual([['order 7', 'a']])
})

test('a message without a correlation begins one; what the publisher says wins', async () => {
  const clock = fakeClock()
  const store = memoryStore({ clock })
  const outbox = createOutbox(store, { clock, source: '/billing' })
  const { broker, settle } = await inboxBench({
    clock,
    store,
    handlers: {
      placed: async (_, { tx }) => {
        await outbox.publish(tx, Mails, [
          { type: 'mail', data: { to: 'x' } },
          { type: 'mail', data: { to: 'x' }, correlationId: 'mine', causationId: 'also mine' },
        ])
      },
    },
  })
  broker.deliver({ id: 'a' })
  await settle()
  const leases = await store.outbox.lease('relay', 10_000)
  const pending = await store.outbox.pending(leases, 10)
  expect(
    pending.map(({ envelope }) => [envelope.attributes['correlationid'], envelope.attributes['causationid']]).sort(),
  ).toEqual([
    ['a', 'a'],
    ['mine', 'also mine'],
  ])
})

test('what was aborted while the rows were being written is not committed', async () => {
  const clock = fakeClock()
  const one = gate()
  const store = memoryStore({ clock, before: (operation) => (operation === 'outbox.append' ? one.promise : undefined) })
  const outbox = createOutbox(store, { clock, source: '/billing' })
  const { broker, settle, applied } = await inboxBench({
    clock,
    store,
    handlerTimeoutMs: 1_000,
    handlers: {
      placed: async ({ id }, { tx }) => {
        count(tx, id)
        await outbox.publish(tx, Mails, { type: 'mail', data: { to: 'x' } })
      },
    },
  })
  const handed = broker.deliver({ id: 'a' })
  await settle()
  await clock.advance(1_500)
  one.resolve()
  await settle()
  expect([handed.verdict, applied('a'), (await store.outbox.stats()).backlog]).toEqual(['retry', 0, 0])
})
