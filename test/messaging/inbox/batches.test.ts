import { describe, expect, test } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { dead, retry } from '../../../src/messaging/index.ts'
import { gate } from '../consumer/kit.ts'
import { count, inboxBench } from './kit.ts'

const failing = { retries: { immediate: 0 } }

describe('a batch with an inbox', () => {
  test('is claimed in one statement, handled in one transaction, and acknowledged after its commit', async () => {
    const commit = gate()
    const { broker, settle, applied, asked } = await inboxBench({
      before: (operation) => (operation === 'commit' ? commit.promise : undefined),
      batch: (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
      },
    })
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['open', 'open', 'open'])
    commit.resolve()
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack'])
    expect([applied('a'), applied('b'), applied('c'), asked('inbox.claim'), asked('begin')]).toEqual([1, 1, 1, 1, 1])
  })

  test('its handler is given those that are new; one that is named twice is among them once', async () => {
    const batches: [string[], readonly string[]][] = []
    const { broker, settle, of } = await inboxBench({
      batch: (messages, { ids }) => void batches.push([messages.map(({ id }) => id), ids]),
    })
    broker.deliver({ id: 'a' })
    await settle()
    const handed = ['a', 'b', 'c', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack', 'ack'])
    expect(batches).toEqual([
      [['a'], ['a']],
      [
        ['b', 'c'],
        ['b', 'c'],
      ],
    ])
    expect(of('message-handled').map(({ id, outcome }) => `${id} ${outcome}`)).toEqual([
      'a ack',
      'a duplicate',
      'b ack',
      'c ack',
      'b duplicate',
    ])
  })

  test('with nothing new its handler is not called', async () => {
    let calls = 0
    const { broker, settle } = await inboxBench({ batch: () => void calls++ })
    broker.deliver({ id: 'a' })
    await settle()
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([again.verdict, calls]).toEqual(['ack', 1])
  })

  test('those that are being handled elsewhere wait, and hold nobody up', async () => {
    const one = gate()
    const { broker, settle, clock, store, applied, of } = await inboxBench({
      throttle: { failures: 1 },
      batch: (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
      },
    })
    const elsewhere = store.transaction(async (tx) => {
      await store.inbox.claim(tx, 'billing', [{ source: 'test', id: 'b' }])
      await one.promise
      count(tx, 'b')
    })
    await settle()
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'open', 'ack'])
    one.resolve()
    await elsewhere
    await clock.advance(1_000)
    expect([handed[1]?.verdict, applied('a'), applied('b'), applied('c')]).toEqual(['ack', 1, 1, 1])
    expect(of('consumer-throttled')).toEqual([])
  })

  test('where some are not done, nothing of them is kept, and the others are applied without them', async () => {
    const batches: string[][] = []
    const { broker, settle, applied } = await inboxBench({
      batch: (messages, { tx }) => {
        batches.push(messages.map(({ id }) => id))
        for (const { id } of messages) count(tx, id)
        return messages.map(({ id }) => (id === 'b' ? retry({ afterMs: 5_000 }) : id === 'd' ? dead('no') : undefined))
      },
    })
    const handed = ['a', 'b', 'c', 'd'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'retry', 'ack', 'dead'])
    expect(batches).toEqual([
      ['a', 'b', 'c', 'd'],
      ['a', 'c'],
    ])
    expect(['a', 'b', 'c', 'd'].map(applied)).toEqual([1, 0, 1, 0])
    const again = [broker.deliver({ id: 'd' }), broker.deliver({ id: 'a' })]
    await settle()
    expect(again.map(({ verdict }) => verdict)).toEqual(['dead', 'ack'])
    expect(applied('a')).toBe(1)
  })

  test('so often as it takes: each time it is told of those that it is given', async () => {
    const batches: (readonly string[])[] = []
    const { broker, settle, applied } = await inboxBench({
      batch: (messages, { tx, ids }) => {
        batches.push(ids)
        for (const { id } of messages) count(tx, id)
        return messages.map((_, at) => (at === 0 && messages.length > 1 ? retry() : undefined))
      },
    })
    const handed = ['a', 'b', 'c', 'd'].map((id) => broker.deliver({ id }))
    await settle()
    expect(batches).toEqual([['a', 'b', 'c', 'd'], ['b', 'c', 'd'], ['c', 'd'], ['d']])
    expect(handed.map(({ verdict }) => verdict)).toEqual(['retry', 'retry', 'retry', 'ack'])
    expect(['a', 'b', 'c', 'd'].map(applied)).toEqual([0, 0, 0, 1])
  })

  test('one outcome for all undoes all', async () => {
    let calls = 0
    const { broker, settle, applied } = await inboxBench({
      batch: (messages, { tx }) => {
        calls++
        for (const { id } of messages) count(tx, id)
        return dead('all of them')
      },
    })
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['dead', 'dead'])
    expect([applied('a'), applied('b'), calls]).toEqual([0, 0, 1])
  })

  test('outcomes belong to those that the handler was given; others than one for each undo all', async () => {
    let answer: unknown[] = []
    const { broker, settle, applied, consumer } = await inboxBench({
      ...failing,
      batch: (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
        return messages.length === 1 ? undefined : answer
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    answer = [retry(), undefined]
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'retry', 'ack'])
    answer = [retry(), undefined, undefined, undefined]
    const bad = ['d', 'e', 'f'].map((id) => broker.deliver({ id }))
    await settle()
    expect(bad.map(({ verdict }) => verdict)).toEqual(['dead', 'dead', 'dead'])
    expect(consumer.health().lastError?.message).toMatch(/the batch has 3 messages.*4 outcomes/)
    expect(['b', 'c', 'd', 'e'].map(applied)).toEqual([0, 1, 0, 0])
  })

  test('what it throws undoes all; a conflict runs all again', async () => {
    const batches: number[] = []
    const { broker, settle, applied } = await inboxBench({
      batch: (messages, { tx }) => {
        batches.push(messages.length)
        for (const { id } of messages) count(tx, id)
        if (batches.length === 1) throw createError({ code: 'TRANSACTION_CONFLICT' })
        if (batches.length === 2) throw new Error('no')
      },
    })
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack'])
    expect([applied('a'), applied('b'), batches]).toEqual([1, 1, [2, 2, 2]])
  })

  test('while the right to some of it stands it is committed: those that were lost are duplicates when they come again', async () => {
    const one = gate()
    const { broker, settle, applied } = await inboxBench({
      batch: async (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
        await one.promise
      },
    })
    const [a, b] = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    a?.lose()
    one.resolve()
    await settle()
    const again = broker.deliver({ id: 'a' })
    await settle()
    expect([b?.verdict, again.verdict, applied('a'), applied('b')]).toEqual(['ack', 'ack', 1, 1])
  })

  test('with all of it lost it is not', async () => {
    const one = gate()
    const { broker, settle, applied } = await inboxBench({
      batch: async (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
        await one.promise
      },
    })
    const handed = ['a', 'b'].map((id) => broker.deliver({ id }))
    await settle()
    for (const { lose } of handed) lose()
    one.resolve()
    await settle()
    expect([applied('a'), applied('b')]).toEqual([0, 0])
  })

  test('what it throws says nothing of those that it was not given', async () => {
    const one = gate()
    const { broker, settle, clock, store, applied, of } = await inboxBench({
      retries: { immediate: 1, delayedMs: [] },
      batch: (messages, { tx }) => {
        for (const { id } of messages) count(tx, id)
        if (messages.some(({ id }) => id === 'p')) throw createError({ code: 'INVALID_INPUT' })
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    const elsewhere = store.transaction(async (tx) => {
      await store.inbox.claim(tx, 'billing', [{ source: 'test', id: 'b' }])
      await one.promise
    })
    await settle()
    const handed = ['a', 'b', 'p'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'open', 'dead'])
    one.resolve()
    await elsewhere
    await clock.advance(1_000)
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'dead'])
    expect(['a', 'p'].map(applied)).toEqual([1, 0])
    expect(of('message-handled').map(({ id, outcome, attempts }) => [id, outcome, attempts])).toContainEqual([
      'a',
      'duplicate',
      0,
    ])
  })

  test('nor does another attempt take them again', async () => {
    const batches: (readonly string[])[] = []
    const { broker, settle, of } = await inboxBench({
      batch: (_, { ids }) => {
        batches.push(ids)
        if (batches.length === 2) throw new Error('no')
      },
    })
    broker.deliver({ id: 'a' })
    await settle()
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'ack', 'ack'])
    expect(batches).toEqual([['a'], ['b', 'c'], ['b', 'c']])
    expect(of('message-retried').map(({ id }) => id)).toEqual(['b', 'c'])
  })

  test('an outcome stands, though the others fail without it', async () => {
    let runs = 0
    const { broker, settle } = await inboxBench({
      retries: { immediate: 0, delayedMs: [] },
      batch: (messages) => {
        if (++runs > 1) throw new Error('boom')
        return messages.map(({ id }) => (id === 'b' ? dead('mine') : id === 'c' ? 'well' : undefined))
      },
    })
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ settled }) => settled[0]?.options?.reason)).toEqual([
      expect.stringContaining('boom'),
      'mine',
      expect.stringContaining('boom'),
    ])
  })

  test('left alone it condemns none that it was not given', async () => {
    const { broker, settle, clock } = await inboxBench({
      handlerTimeoutMs: 1_000,
      retries: { immediate: 0, delayedMs: [] },
      batch: (messages) => (messages.some(({ id }) => id === 'p') ? new Promise(() => {}) : undefined),
    })
    broker.deliver({ id: 'a' })
    await settle()
    const handed = ['a', 'p'].map((id) => broker.deliver({ id }))
    await settle()
    await clock.advance(2_000)
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'dead'])
  })

  test('where no broker counts, what kills its process is dead alone', async () => {
    const { broker, settle, applied, store } = await inboxBench(
      {
        maxDeliveries: 2,
        batch: (messages, { tx }) => {
          for (const { id } of messages) count(tx, id)
        },
      },
      { redeliveryCount: 'none' },
    )
    for (let n = 0; n < 2; n++) await store.inbox.started('billing', { source: 'test', id: 'b' })
    const handed = ['a', 'b', 'c'].map((id) => broker.deliver({ id }))
    await settle()
    expect(handed.map(({ verdict }) => verdict)).toEqual(['ack', 'dead', 'ack'])
    expect(['a', 'b', 'c'].map(applied)).toEqual([1, 0, 1])
  })

  test('and a large one does not ask for all counts at once', async () => {
    let now = 0
    let most = 0
    const { broker, settle, applied } = await inboxBench(
      {
        prefetch: 100,
        before: async (operation) => {
          if (operation !== 'inbox.started' && operation !== 'inbox.finished') return
          most = Math.max(most, ++now)
          await Promise.resolve()
          now--
        },
        batch: (messages, { tx }) => {
          for (const { id } of messages) count(tx, id)
        },
      },
      { redeliveryCount: 'none' },
    )
    const handed = Array.from({ length: 100 }, (_, n) => broker.deliver({ id: `m${n}` }))
    await settle()
    expect(handed.every(({ verdict }) => verdict === 'ack')).toBe(true)
    expect([most <= 8, most > 1, applied('m99')]).toEqual([true, true, 1])
  })
})
