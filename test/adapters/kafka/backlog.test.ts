// What waits for a group, without a broker.
import { expect, it } from 'vitest'
import { waitingLive, waitingOf } from '../../../src/adapters/kafka/backlog.ts'
import { kafkaSettings } from '../../../src/adapters/kafka/options.ts'
import { Topics } from '../../../src/adapters/kafka/topics.ts'
import { fakeDriver } from './fake-driver.ts'

// Two partitions of ten records each, those before the third of them gone.
const topics = () => {
  const driver = fakeDriver()
  driver.offsets = async (topic, at) =>
    topic.endsWith('.retry') ? [at === 'latest' ? 4 : 0] : at === 'latest' ? [10, 10] : [2, 2]
  const places = new Map<string, readonly ({ offset: number; note: string } | undefined)[]>()
  driver.committed = async (_, topic) => places.get(topic) ?? [undefined, undefined]
  return { places, topics: new Topics(driver, kafkaSettings({})) }
}
const group = { id: 'g', topic: 'orders', retry: 'orders.g.retry' }

it('of a group that was never made nothing waits but what was put back for it; of a queue all does', async () => {
  const { topics: some } = topics()
  expect(await waitingOf(some, group, undefined)).toEqual({ waiting: 4 })
  expect(await waitingOf(some, { id: 'q', topic: 'jobs', retry: undefined }, undefined)).toEqual({ waiting: 16 })
})

it('what is done behind an open one is not counted, nor what is gone', async () => {
  const { topics: some, places } = topics()
  // Of partition 0 the records 6 and 8 are done behind 5; the place of partition 1 is no longer there.
  places.set('orders', [
    { offset: 5, note: `f1:${Buffer.from([0b1010]).toString('base64')}` },
    { offset: 1, note: '' },
  ])
  places.set('orders.g.retry', [{ offset: 4, note: '' }])
  expect(await waitingOf(some, group, undefined)).toEqual({ waiting: 3 + 8 })
})

it('of partitions that are ours we know it ourselves', async () => {
  const { topics: some, places } = topics()
  places.set('orders', [
    { offset: 5, note: '' },
    { offset: 5, note: '' },
  ])
  places.set('orders.g.retry', [{ offset: 4, note: '' }])
  const place = { waitingOf: ({ partition }: { partition: number }) => (partition === 0 ? 1 : undefined) }
  expect(
    await waitingOf(some, group, { waitingOf: (at) => (at.topic === 'orders' ? place.waitingOf(at) : undefined) }),
  ).toEqual({ waiting: 1 + 5 })
  expect(await waitingLive(some, 'orders', [place])).toEqual({ waiting: 1 })
})
