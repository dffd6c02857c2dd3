// What is published in a transaction is in with its commit, all of a call or nothing, in the order of the calls.
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { withInherited } from '../../../src/core/async-context.ts'
import type { OutboxRow } from '../../../src/core/contracts/store.ts'
import { describe as describeThing } from '../../../src/core/describe.ts'
import { topic } from '../../../src/messaging/channel.ts'
import { createOutbox, type OutboxPlace } from '../../../src/messaging/outbox/index.ts'
import { errorOf, issuesOf } from '../kit.ts'
import { gate, Mails, Orders, order, type Shop, shop } from './kit.ts'

const idsIn = async (s: Shop): Promise<string[]> => {
  const leases = await s.store.outbox.lease('looking', 1_000)
  const rows = await s.store.outbox.pending(leases, 1_000)
  await s.store.outbox.release(leases)
  return rows.map(({ envelope }) => envelope.id)
}

// Its schema answers when the test says so.
const slow = () => {
  const gates = new Map<string, ReturnType<typeof gate<boolean>>>()
  const answer = (id: string) => {
    const found = gates.get(id) ?? gate<boolean>()
    gates.set(id, found)
    return found
  }
  const channel = topic('slow', {
    'slow.one': z.object({ id: z.string() }).refine(({ id }) => answer(id).promise, 'not allowed'),
  })
  return { channel, answer }
}

describe('publishing in a transaction of the store', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })

  it('appends all in one statement just before the commit, in the order of the calls', async () => {
    const appends: string[][] = []
    const { append } = s.store.outbox
    s.store.outbox.append = async (tx, rows) => {
      appends.push(rows.map(({ envelope }) => envelope.id))
      await append.call(s.store.outbox, tx, rows)
    }
    await s.store.transaction(async (tx) => {
      const receipts = await s.outbox.publish(tx, Orders, [order('o-1'), order('o-2')])
      expect(receipts).toEqual([{ id: 'o-1' }, { id: 'o-2' }])
      expect(await s.outbox.publish(tx, Mails, { type: 'mail.wanted', id: 'm-1', data: { to: 'a' } })).toEqual({
        id: 'm-1',
      })
      await s.outbox.publish(tx, Orders, order('o-3'))
      expect(appends).toEqual([])
    })
    expect(appends).toEqual([['o-1', 'o-2', 'm-1', 'o-3']])
    expect(await idsIn(s)).toEqual(['o-1', 'o-2', 'm-1', 'o-3'])
  })

  it('leaves nothing after a rollback, not even for the next transaction of the same client', async () => {
    const tx = {}
    const hooks: (() => Promise<void>)[] = []
    const rows: OutboxRow[] = []
    const place = reused(tx, hooks, rows)
    const outbox = createOutbox(place, { clock: s.clock })
    await outbox.publish(tx, Orders, order('undone'))
    // It is rolled back: before its hooks have run, or in the middle of them.
    const [first] = hooks.splice(0)
    await outbox.publish(tx, Orders, order('kept-1'))
    await runAll(hooks)
    await outbox.publish(tx, Orders, order('undone-2'))
    await hooks.splice(0)[0]?.()
    hooks.length = 0
    await outbox.publish(tx, Orders, order('kept-2'))
    await runAll(hooks)
    expect(first).toBeDefined()
    expect(rows.map(({ envelope }) => envelope.id)).toEqual(['kept-1', 'kept-2'])
  })

  it('leaves nothing after a rollback', async () => {
    await expect(
      s.store.transaction(async (tx) => {
        await s.outbox.publish(tx, Orders, order('o-1'))
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    expect(await idsIn(s)).toEqual([])
  })

  it('keeps the rest where a refusal is swallowed: nothing of that call is in', async () => {
    await s.store.transaction(async (tx) => {
      await s.outbox.publish(tx, Orders, order('o-1'))
      const bad = { type: 'order.placed', data: { orderId: 7 } } as never
      const error = await errorOf(() => s.outbox.publish(tx, Orders, [order('o-2'), bad, order('o-3')]))
      expect(error.code).toBe('INVALID_INPUT')
      expect(error.details).toMatchObject({ index: 1 })
      expect(issuesOf(error)).toEqual([{ path: 'data.orderId', message: expect.any(String) }])
      await s.outbox.publish(tx, Orders, order('o-4'))
    })
    expect(await idsIn(s)).toEqual(['o-1', 'o-4'])
  })

  it('keeps the order of the calls, also where validation of the first takes longest', async () => {
    const { channel, answer } = slow()
    const one = (id: string) => ({ type: 'slow.one', id, key: 'k', data: { id } }) as const
    await s.store.transaction(async (tx) => {
      const first = s.outbox.publish(tx, channel, one('s-1'))
      const second = s.outbox.publish(tx, channel, one('s-2'))
      const third = s.outbox.publish(tx, Orders, order('o-3', 'k'))
      answer('s-2').open(true)
      await Promise.all([second, third])
      answer('s-1').open(true)
      await first
    })
    expect(await idsIn(s)).toEqual(['s-1', 's-2', 'o-3'])
  })

  it('waits for what is still being validated when the commit comes', async () => {
    const { channel, answer } = slow()
    let pending: Promise<unknown> | undefined
    const done = s.store.transaction(async (tx) => {
      pending = s.outbox.publish(tx, channel, { type: 'slow.one', id: 's-1', data: { id: 's-1' } })
    })
    await s.clock.advance(0)
    expect(await idsIn(s)).toEqual([])
    answer('s-1').open(true)
    await done
    await pending
    expect(await idsIn(s)).toEqual(['s-1'])
  })

  it('undoes the transaction where such a message is refused: its work went on without knowing', async () => {
    const { channel, answer } = slow()
    let pending: Promise<unknown> | undefined
    const done = s.store.transaction(async (tx) => {
      tx.set('order', 1)
      await s.outbox.publish(tx, Orders, order('o-1'))
      pending = s.outbox.publish(tx, channel, { type: 'slow.one', id: 's-1', data: { id: 's-1' } }).catch(() => {})
    })
    const ended = errorOf(() => done)
    await s.clock.advance(0)
    answer('s-1').open(false)
    expect((await ended).code).toBe('INVALID_INPUT')
    await pending
    expect(await idsIn(s)).toEqual([])
    expect(s.store.read('order')).toBeUndefined()
  })

  it('refuses what comes once the transaction is being committed, or is over', async () => {
    let kept: unknown
    await s.store.transaction(async (tx) => {
      kept = tx
    })
    const error = await errorOf(() => s.outbox.publish(kept as never, Orders, order('late')))
    expect(error.code).toBe('TRANSACTION_REQUIRED')
    expect(await idsIn(s)).toEqual([])
  })

  it('keeps the trace of the caller with the row, and gives ids of its own', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    await s.store.transaction((tx) =>
      withInherited({ headers: { traceparent } }, () =>
        s.outbox.publish(tx, Orders, { type: 'order.placed', data: { orderId: '1' } }),
      ),
    )
    const leases = await s.store.outbox.lease('looking', 1_000)
    const [row] = await s.store.outbox.pending(leases, 10)
    expect(row?.envelope.attributes).toMatchObject({ traceparent, source: '/shop/orders', type: 'order.placed' })
    expect(row?.envelope.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/)
  })
})

// A client that is used again: the same handle in one transaction after the other.
function reused(tx: object, hooks: (() => Promise<void>)[], rows: OutboxRow[]): OutboxPlace<object> {
  return {
    name: 'reused',
    transaction: () => Promise.reject(new Error('not here')),
    isTransaction: (candidate): candidate is object => candidate === tx,
    beforeCommit: (_, hook) => {
      hooks.push(() => hook(tx))
      return true
    },
    onCommitted: () => () => {},
    outbox: {
      append: async (_: object, more: readonly OutboxRow[]) => {
        rows.push(...more)
      },
    } as never,
  }
}

async function runAll(hooks: (() => Promise<void>)[]): Promise<void> {
  for (let hook = hooks.shift(); hook !== undefined; hook = hooks.shift()) await hook()
}

describe('publishing in a transaction of the user', () => {
  let s: Shop
  beforeEach(() => {
    s = shop()
  })

  it('appends at once, and is in with its commit', async () => {
    const own = s.store.begin()
    await s.outbox.publish(own.tx, Orders, order('o-1'))
    expect(s.asked.map(({ what }) => what)).toEqual(['append'])
    expect(await idsIn(s)).toEqual([])
    await own.commit()
    expect(await idsIn(s)).toEqual(['o-1'])
  })

  it('keeps the order of the calls', async () => {
    const { channel, answer } = slow()
    const own = s.store.begin()
    const first = s.outbox.publish(own.tx, channel, { type: 'slow.one', id: 's-1', data: { id: 's-1' } })
    const second = s.outbox.publish(own.tx, Orders, order('o-2'))
    await s.clock.advance(0)
    answer('s-1').open(true)
    await Promise.all([first, second])
    await own.commit()
    expect(await idsIn(s)).toEqual(['s-1', 'o-2'])
  })

  it('goes on behind a call that was refused', async () => {
    const { channel, answer } = slow()
    const own = s.store.begin()
    const first = errorOf(() => s.outbox.publish(own.tx, channel, { type: 'slow.one', id: 's-1', data: { id: 's-1' } }))
    const second = s.outbox.publish(own.tx, Orders, order('o-2'))
    answer('s-1').open(false)
    expect((await first).code).toBe('INVALID_INPUT')
    await second
    await own.commit()
    expect(await idsIn(s)).toEqual(['o-2'])
  })

  it('leaves nothing after its rollback', async () => {
    const own = s.store.begin()
    await s.outbox.publish(own.tx, Orders, order('o-1'))
    await own.rollback()
    expect(await idsIn(s)).toEqual([])
    expect((await errorOf(() => s.outbox.publish(own.tx, Orders, order('o-2')))).code).toBe('TRANSACTION_REQUIRED')
  })

  it('lets relays look, and look again soon: nobody tells of its commit', async () => {
    await s.relay().start()
    await s.clock.advance(30_000)
    const own = s.store.begin()
    await s.outbox.publish(own.tx, Orders, order('o-1'))
    await s.clock.advance(5)
    await own.commit()
    await s.clock.advance(20)
    expect(s.transport.taken).toEqual(['o-1'])
    await s.end()
  })
})

describe('what is refused before anything is written', () => {
  let s: Shop
  beforeEach(() => {
    s = shop({ maxPayloadBytes: 2_000 })
  })
  const refusal = (message: object) =>
    errorOf(() => s.store.transaction((tx) => s.outbox.publish(tx, Orders, message as never)))

  it.each([
    ['a key with NUL', { ...order('o-1'), key: 'a\0b' }, 'key'],
    ['a key of 10,000 characters', { ...order('o-1'), key: 'k'.repeat(10_000) }, 'key'],
    ['an id with NUL', { ...order('o-1'), id: 'a\0b' }, 'id'],
    ['data that JSON cannot carry', { type: 'order.placed', data: { orderId: '1', at: { x: 1n } } }, 'data.at.x'],
    ['a field that there is not', { ...order('o-1'), keys: 'k' }, 'keys'],
    ['data that the schema does not allow', { type: 'order.placed', data: {} }, 'data.orderId'],
  ])('%s', async (_, message, path) => {
    const error = await refusal(message)
    expect(error.code).toBe('INVALID_INPUT')
    expect(issuesOf(error).map((issue) => issue.path)).toContain(path)
    expect(s.asked).toEqual([])
  })

  it('a message that is too large', async () => {
    const large = await refusal({ type: 'order.placed', id: 'l', data: { orderId: 'y'.repeat(3_000) } })
    expect(large).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', effect: 'none', details: { id: 'l', limit: 2_000 } })
    expect(s.asked).toEqual([])
  })

  it('50 MB', async () => {
    const error = await refusal({ type: 'order.placed', id: 'l', data: { orderId: 'y'.repeat(50_000_000) } })
    expect(error.code).toBe('PAYLOAD_TOO_LARGE')
  })

  it('what is no transaction', async () => {
    for (const candidate of [undefined, null, {}, s.store])
      expect((await errorOf(() => s.outbox.publish(candidate as never, Orders, order('o')))).code).toBe(
        'TRANSACTION_REQUIRED',
      )
    expect((await errorOf(() => s.outbox.publish({} as never, {} as never, order('o') as never))).code).toBe(
      'INVALID_OPTIONS',
    )
  })

  it('options that make no sense', async () => {
    const codes = [
      () => createOutbox({} as never),
      () => createOutbox(s.place, { source: 'a b' }),
      () => createOutbox(s.place, { maxPayloadBytes: 0 }),
      () => createOutbox(s.place, { announceEveryMs: -1 }),
      () => createOutbox(s.place, { newId: 7 as never }),
      () => createOutbox(s.place, { sources: 'x' } as never),
    ].map(async (make) => (await errorOf(make)).code)
    expect(await Promise.all(codes)).toEqual(Array(6).fill('INVALID_OPTIONS'))
  })
})

describe('telling of commits', () => {
  it('tells once per commit that had messages, and of no other', async () => {
    const s = shop()
    const told = vi.fn()
    const stop = s.outbox.onAppended(told)
    await s.store.transaction(async (tx) => tx.set('a', 1))
    expect(told).not.toHaveBeenCalled()
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, [order('o-1'), order('o-2')]))
    expect(told).toHaveBeenCalledTimes(1)
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, []))
    expect(told).toHaveBeenCalledTimes(1)
    stop()
    await s.publish(order('o-3'))
    expect(told).toHaveBeenCalledTimes(1)
  })

  it('announces at once and then at most once in so long, the last commit never left out', async () => {
    const s = shop({ announceEveryMs: 100 })
    const announced = (): number[] => s.asked.filter(({ what }) => what === 'announce').map(({ at }) => at)
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    expect(announced()).toEqual([0])
    for (let at = 0; at < 5; at++) {
      await s.publish(order(`o-${at}`))
      await s.clock.advance(10)
    }
    expect(announced()).toEqual([0])
    await s.clock.advance(50)
    expect(announced()).toEqual([0, 100])
    await s.clock.advance(1_000)
    expect(announced()).toEqual([0, 100])
    await s.publish(order('o-9'))
    expect(announced()).toEqual([0, 100, 1_100])
  })

  it('tells of an announcement that failed, never the one who published', async () => {
    const s = shop({ announceEveryMs: 100 })
    s.interrupt = (what) => {
      if (what === 'announce') throw new Error('away')
    }
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    expect(s.of('outbox-announce-failed')).toMatchObject([{ outbox: '/shop/orders', error: { code: 'CALL_FAILED' } }])
    s.interrupt = undefined
    await s.publish(order('o-2'))
    await s.clock.advance(100)
    expect(s.asked.filter(({ what }) => what === 'announce')).toHaveLength(2)
  })
})

describe('caring for it', () => {
  it('passes on to the store, checks what it is given, and wakes relays', async () => {
    const s = shop()
    const told = vi.fn()
    s.outbox.onAppended(told)
    await s.publish(order('o-1'), order('o-2'))
    told.mockClear()
    expect(await s.outbox.skip(['o-1'])).toBe(1)
    expect(told).toHaveBeenCalledTimes(1)
    expect(await s.outbox.skip(['o-1'])).toBe(0)
    expect(await s.outbox.skip([])).toBe(0)
    expect(await s.outbox.redrive('all')).toBe(0)
    expect(told).toHaveBeenCalledTimes(1)
    for (const bad of [() => s.outbox.skip('o-1' as never), () => s.outbox.redrive('some' as never)])
      expect((await errorOf(bad)).code).toBe('INVALID_OPTIONS')
    expect((await errorOf(() => s.outbox.purge({ days: 1 } as never))).code).toBe('INVALID_OPTIONS')
    expect((await errorOf(() => s.outbox.purge({ dead: 'yes' } as never))).code).toBe('INVALID_OPTIONS')
    expect(s.asked.filter(({ what }) => what === 'purge')).toEqual([])
    for (const part of ['onCommitted', 'beforeCommit'])
      expect((await errorOf(() => createOutbox({ ...s.place, [part]: undefined }))).code).toBe('INVALID_OPTIONS')
  })

  it('deletes what is over a thousand at a time, until nothing is left or the limit is reached', async () => {
    const s = shop()
    const limits: number[] = []
    let there = 2_500
    s.store.outbox.purge = async ({ limit }) => {
      limits.push(limit)
      const count = Math.min(limit, there)
      there -= count
      return count
    }
    expect(await s.outbox.purge({ limit: 1_200 })).toBe(1_200)
    expect(await s.outbox.purge()).toBe(1_300)
    expect(limits).toEqual([1_000, 200, 1_000, 1_000])
  })

  it('says how it was built', () => {
    expect(describeThing(shop().outbox)).toMatchObject({
      what: 'outbox',
      name: '/shop/orders',
      store: 'memory',
      options: { maxPayloadBytes: 1_000_000, announceEveryMs: false },
    })
  })
})
