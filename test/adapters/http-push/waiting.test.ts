// Who waits at a place, and who gets what: by arrival, by key, and without a look at all for each.
import { expect, it } from 'vitest'
import { Held } from '../../../src/adapters/http-push/held.ts'
import { LocalPlace } from '../../../src/adapters/http-push/places.ts'
import { LocalReceiver } from '../../../src/adapters/http-push/receiver.ts'
import { Gathering } from '../../../src/adapters/http-push/request.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import type { Envelope } from '../../../src/core/message.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { envelope, queue } from './support.ts'

const clock = fakeClock()

function arrive(place: LocalPlace, message: Envelope): Held {
  const held = new Held(message, 0, place, new Gathering(clock, 1_000))
  place.arrive(held)
  return held
}

function receiver(place: LocalPlace, credit: number): { readonly self: LocalReceiver; readonly got: Delivery[] } {
  const got: Delivery[] = []
  const self = new LocalReceiver(
    place,
    (delivery) => got.push(delivery),
    () => {},
  )
  self.request(credit)
  return { self, got }
}

const ids = (got: readonly Delivery[]): readonly string[] => got.map(({ envelope: { id } }) => id)
const turn = (): Promise<void> => Promise.resolve()
// What is acked has no connection here: whether the answer got out does not matter.
const ack = (delivery: Delivery | undefined): void => void delivery?.settle('ack').catch(() => {})

it('a settlement looks at what it sets free, not at all that waits', async () => {
  const many = 1_000
  const place = new LocalPlace(queue('mails'), many)
  const { self, got } = receiver(place, 1)
  let looks = 0
  for (let n = 0; n < many; n++)
    arrive(place, {
      ...envelope(`${n}`),
      get key() {
        looks++
        return 'k'
      },
    })
  for (let n = 0; n < many; n++) {
    await turn()
    expect(got).toHaveLength(n + 1)
    self.request(1)
    ack(got[n])
  }
  expect(ids(got)).toEqual(Array.from({ length: many }, (_, n) => `${n}`))
  expect(looks).toBeLessThanOrEqual(many * 5)
})

it('the oldest first, be it of a key that the receiver holds, of one set free, or of none', async () => {
  const place = new LocalPlace(queue('mails'), 100)
  const one = receiver(place, 1)
  arrive(place, envelope('a1', { key: 'a' }))
  await turn()
  for (const id of ['b1', 'a2', 'c', 'b2', 'a3', 'd'])
    arrive(place, envelope(id, id.length > 1 ? { key: id[0] as string } : {}))
  for (let n = 0; n < 7; n++) {
    await turn()
    // Before it is settled its key is held, after it set free.
    if (n % 2 === 0) one.self.request(1)
    await turn()
    ack(one.got[n])
    if (n % 2 === 1) one.self.request(1)
  }
  expect(ids(one.got)).toEqual(['a1', 'b1', 'a2', 'c', 'b2', 'a3', 'd'])
})

it('a key goes to nobody else while it is held, and to anybody after that; nothing waits behind it', async () => {
  const place = new LocalPlace(queue('mails'), 100)
  const one = receiver(place, 1)
  const two = receiver(place, 0)
  arrive(place, envelope('a1', { key: 'a' }))
  arrive(place, envelope('a2', { key: 'a' }))
  await turn()
  two.self.request(2)
  arrive(place, envelope('b1', { key: 'b' }))
  await turn()
  expect([ids(one.got), ids(two.got)]).toEqual([['a1'], ['b1']])
  await one.self.stop()
  await turn()
  expect(ids(two.got)).toEqual(['b1'])
  ack(one.got[0])
  await turn()
  expect(ids(two.got)).toEqual(['b1', 'a2'])
})

it('whatever comes, waits, gives up and is settled: no key in two hands, each key in order, nothing forgotten', async () => {
  const random = seededRandom(7)
  const pick = (below: number): number => Math.floor(random() * below)
  const place = new LocalPlace(queue('mails'), 10_000)
  const receivers = [0, 1, 2].map(() => receiver(place, 0))
  const open = new Set<Delivery>()
  const seen = receivers.map(() => 0)
  const waiting = new Set<Held>()
  const last = new Map<string, number>()
  let given = 0
  let up = 0
  const look = (): void => {
    receivers.forEach(({ got }, at) => {
      for (const delivery of got.slice(seen[at])) {
        const { key, id } = delivery.envelope
        given++
        waiting.delete(delivery as Held)
        if (key !== undefined) {
          expect(Number(id)).toBeGreaterThan(last.get(key) ?? -1)
          last.set(key, Number(id))
          for (const other of open)
            if (other.envelope.key === key) expect(receivers[at]?.got.includes(other)).toBe(true)
        }
        open.add(delivery)
      }
      seen[at] = got.length
    })
  }
  for (let n = 0; n < 2_000; n++) {
    const key = pick(6)
    waiting.add(arrive(place, envelope(`${n}`, key === 0 ? {} : { key: `${key}` })))
    if (pick(2) === 0) receivers[pick(3)]?.self.request(pick(3))
    if (pick(5) === 0) {
      const [gone] = [...waiting].slice(pick(waiting.size))
      if (gone !== undefined && gone.receiver === undefined) {
        gone.lose('gone')
        waiting.delete(gone)
        up++
      }
    }
    await turn()
    look()
    for (const delivery of [...open]) if (pick(3) === 0 && open.delete(delivery)) ack(delivery)
  }
  for (const { self } of receivers) self.request(5_000)
  while (given + up < 2_000) {
    const before = given
    await turn()
    look()
    if (given === before && open.size === 0) break
    for (const delivery of open) ack(delivery)
    open.clear()
  }
  expect(given + up).toBe(2_000)
})
