// The rows of the memory outbox against a list that is sorted anew each time.
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../../../src/adapters/memory/index.ts'
import type { OutboxRow } from '../../../../src/core/contracts/store.ts'
import { fakeClock } from '../../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../../src/testing/seeded-random.ts'

const row = (id: string, key?: string): OutboxRow => ({
  channel: { kind: 'queue', name: 'q' },
  envelope: { id, ...(key === undefined ? {} : { key }), attributes: {}, headers: {}, body: new Uint8Array() },
})

describe('an outbox of many rows', () => {
  it('reads, settles and puts back at any place as one that is sorted anew each time', async () => {
    const random = seededRandom(11)
    const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T
    const store = memoryStore({ clock: fakeClock() })
    const leases = await store.outbox.lease('r', 1_000_000)
    let waiting: string[] = []
    const given: string[] = []
    let made = 0
    for (let step = 0; step < 150; step++) {
      const pending = await store.outbox.pending(leases, 10_000)
      expect(pending.map(({ envelope }) => envelope.id).join()).toBe(waiting.join())
      const choice = random()
      if (waiting.length === 0 || choice < 0.4) {
        const rows = Array.from({ length: 20 }, () =>
          row(`m${String(++made).padStart(6, '0')}`, made % 4 === 0 ? undefined : 'one'),
        )
        await store.transaction((tx) => store.outbox.append(tx, rows))
        waiting.push(...rows.map(({ envelope }) => envelope.id))
      } else if (choice < 0.7) {
        const some = pending.filter(() => random() < 0.5)
        await store.outbox.settle(
          leases,
          some.map(({ sequence }) => ({ sequence, verdict: 'published' })),
        )
        const gone = new Set(some.map(({ envelope }) => envelope.id))
        waiting = waiting.filter((id) => !gone.has(id))
      } else if (choice < 0.85) {
        const { sequence, envelope } = pick(pending)
        await store.outbox.settle(leases, [{ sequence, verdict: 'dead', reason: 'no', blocksKey: false }])
        given.push(envelope.id)
        waiting = waiting.filter((id) => id !== envelope.id)
      } else if (given.length > 0) {
        const [id] = given.splice(Math.floor(random() * given.length), 1) as [string]
        expect(await store.outbox.redrive([id])).toBe(1)
        waiting = [...waiting, id].sort()
      }
    }
    expect(made).toBeGreaterThan(1_000)
    const { backlog, dead } = await store.outbox.stats()
    expect([backlog, dead]).toEqual([waiting.length, given.length])
  })
})
