// What an outbox costs its database: nothing to speak of while nothing happens, and one bounded batch at a time while it is cleaned.
import { describe, expect, it } from 'vitest'
import { Orders, order, shop } from './kit.ts'

describe('an idle outbox', () => {
  it('costs two queries a second at most, leases and purging included', async () => {
    const s = shop()
    await s.relay().start()
    await s.publish(order('o-1'))
    await s.clock.advance(5_000)
    s.asked.length = 0
    const seconds = 600
    await s.clock.advance(seconds * 1_000)
    expect(s.asked.length).toBeLessThanOrEqual(2 * seconds)
    // It does look, though.
    expect(s.asked.filter(({ what }) => what === 'pending').length).toBeGreaterThanOrEqual(seconds - 10)
    for (let from = 5_000; from < 600_000; from += 1_000) {
      const inSecond = s.asked.filter(({ at }) => at >= from && at < from + 1_000)
      expect(inSecond.length).toBeLessThanOrEqual(3)
    }
    await s.end()
  })

  it('costs less where the relay has no partitions', async () => {
    const s = shop()
    for (let at = 0; at < 64; at++) await s.store.outbox.lease(`r-${String(at).padStart(2, '0')}`, 1_000_000)
    for (let at = 0; at < 64; at++) await s.store.outbox.lease(`r-${String(at).padStart(2, '0')}`, 1_000_000)
    const relay = s.relay({ name: 'zz' })
    await relay.start()
    s.asked.length = 0
    await s.clock.advance(60_000)
    expect(relay.health().partitions).toBe(0)
    expect(s.asked.length).toBeLessThanOrEqual(20)
    await s.end()
  })

  it('is looked at soon after there was something, then less and less often', async () => {
    const s = shop()
    await s.relay({ poll: { minMs: 20, maxMs: 1_000 } }).start()
    await s.clock.advance(10_000)
    s.asked.length = 0
    await s.publish(order('o-1'))
    await s.clock.advance(4_000)
    const looks = s.asked.filter(({ what }) => what === 'pending').map(({ at }) => at - 10_000)
    expect(looks.slice(0, 8)).toEqual([0, 20, 60, 140, 300, 620, 1_260, 2_260])
    await s.end()
  })

  it('finds what another process committed, which nobody told of', async () => {
    const s = shop()
    await s.relay().start()
    await s.clock.advance(10_000)
    const own = s.store.begin()
    await s.store.outbox.append(own.tx, [
      {
        channel: { kind: 'topic', name: 'orders' },
        envelope: { id: 'theirs', attributes: {}, headers: {}, body: new Uint8Array() },
      },
    ])
    await own.commit()
    await s.clock.advance(1_000)
    expect(s.transport.taken).toEqual(['theirs'])
    await s.end()
  })

  it('is told by announcements of other processes where it listens', async () => {
    const s = shop()
    await s.relay({ listen: true }).start()
    await s.clock.advance(10_000)
    s.asked.length = 0
    await s.store.outbox.announce?.()
    await s.clock.advance(0)
    expect(s.asked.map(({ what }) => what)).toContain('pending')
    await s.end()
    s.asked.length = 0
    await s.store.outbox.announce?.()
    await s.clock.advance(1_000)
    expect(s.asked).toEqual([])
  })
})

describe('the archive', () => {
  it('is purged in bounded batches, only while there is nothing else to do', async () => {
    const s = shop({ archive: true })
    const purges: { limit: number; olderThanMs: number }[] = []
    const { purge } = s.store.outbox
    s.store.outbox.purge = async (options) => {
      purges.push(options)
      return await purge.call(s.store.outbox, options)
    }
    await s.relay({ purgeAfterMs: 1_000 }).start()
    const orders = Array.from({ length: 1_200 }, (_, at) => order(`o-${at}`))
    await s.store.transaction((tx) => s.outbox.publish(tx, Orders, orders))
    await s.clock.advance(100_000)
    expect(s.transport.taken).toHaveLength(1_200)
    expect(s.of('relay-purged').map(({ count }) => count)).toEqual([1_000, 200])
    expect(purges.every(({ limit, olderThanMs }) => limit === 1_000 && olderThanMs === 1_000)).toBe(true)
    expect(purges.length).toBeLessThan(10)
    await s.end()
  })

  it('is never purged where that is said', async () => {
    const s = shop({ archive: true })
    await s.relay({ purgeAfterMs: false }).start()
    await s.clock.advance(600_000)
    expect(s.asked.filter(({ what }) => what === 'purge')).toEqual([])
    await s.end()
  })

  it('does not keep the relay from its work where it cannot be purged', async () => {
    const s = shop({ archive: true })
    s.interrupt = (what) => {
      if (what === 'purge') throw new Error('no right')
    }
    const relay = s.relay()
    await relay.start()
    await s.clock.advance(200_000)
    expect(s.of('relay-store-failed').every(({ during }) => during === 'purge')).toBe(true)
    expect(s.of('relay-store-failed').length).toBeGreaterThan(1)
    await s.publish(order('o-1'))
    await s.clock.advance(0)
    expect(s.transport.taken).toEqual(['o-1'])
    expect(relay.health().state).toBe('running')
    await s.end()
  })
})
