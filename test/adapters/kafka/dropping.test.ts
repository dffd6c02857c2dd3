// Dropping a group, where a test plays the broker: in which order, and what is done of it once it has failed in the middle.
import { describe, expect, it } from 'vitest'
import { kafkaTransport } from '../../../src/adapters/kafka/transport.ts'
import { createError } from '../../../src/errors/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { fakeDriver } from './fake-driver.ts'

const place = { kind: 'topic', name: 'orders', group: 'g' } as const

const setUp = () => {
  const told: string[] = []
  const topics = new Map([
    ['orders', 1],
    ['orders.g.dead', 1],
    ['orders.g.retry', 1],
  ])
  const clock = fakeClock()
  const broker = { fails: false, lingers: 0 }
  const driver = {
    ...fakeDriver(1),
    partitions: async (topic: string) => {
      if (topic !== 'orders.g.dead' || told.length < 2 || broker.lingers === 0) return topics.get(topic)
      // Metadata of before.
      broker.lingers--
      return 1
    },
    topicsOf: async () => ['orders', 'orders.g.retry'],
    deleteGroup: async (group: string) => void told.push(`group ${group}`),
    deleteTopics: async (names: readonly string[]) => {
      if (broker.fails) throw createError({ code: 'CONNECTION_LOST', effect: 'unknown', transport: 'kafka' })
      told.push(`topics ${names.join()}`)
      for (const name of names) topics.delete(name)
    },
  }
  return { told, broker, clock, driver, transport: kafkaTransport(driver, { clock }) }
}

describe('a group that is dropped', () => {
  it('goes before its topics, and those are gone once it resolves', async () => {
    const { told, broker, clock, transport } = setUp()
    broker.lingers = 3
    const dropping = transport.dropGroup?.(place)
    await clock.advance(1_000)
    await dropping
    expect(told).toEqual(['group orders.g', 'topics orders.g.dead,orders.g.retry'])
    expect(broker.lingers).toBe(0)
  })

  it('is told of where they stay', async () => {
    const { broker, clock, transport } = setUp()
    broker.lingers = Infinity
    const failing = expect(transport.dropGroup?.(place)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      effect: 'unknown',
      transport: 'kafka',
      channel: 'orders',
    })
    await clock.advance(30_000)
    await failing
  })

  it('is gone on with by the next call where it failed in the middle', async () => {
    const { told, broker, transport } = setUp()
    broker.fails = true
    await expect(transport.dropGroup?.(place)).rejects.toMatchObject({ code: 'CONNECTION_LOST' })
    broker.fails = false
    await transport.dropGroup?.(place)
    expect(told.at(-1)).toBe('topics orders.g.dead,orders.g.retry')
  })

  it('is said to be gone where only its topics were refused', async () => {
    const { driver, clock } = setUp()
    const refusing = {
      ...driver,
      deleteTopics: async () => {
        throw createError({ code: 'FORBIDDEN', effect: 'none', transport: 'kafka' })
      },
    }
    await expect(kafkaTransport(refusing, { clock }).dropGroup?.(place)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      effect: 'unknown',
      message: expect.stringContaining('the consumer group orders.g is gone'),
    })
  })

  it('is joined by nobody meanwhile', async () => {
    const { driver, clock, told } = setUp()
    let go = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      go = resolve
    })
    let reached = (): void => {}
    const underWay = new Promise<void>((resolve) => {
      reached = resolve
    })
    const topicsOf = async (): Promise<readonly string[]> => {
      reached()
      await waiting
      return ['orders']
    }
    const transport = kafkaTransport({ ...driver, topicsOf }, { clock })
    const dropping = transport.dropGroup?.(place)
    await underWay
    await expect(transport.receive({ channel: place, group: 'g' }, () => {})).rejects.toMatchObject({
      code: 'CONFLICT',
      effect: 'none',
    })
    go()
    await dropping
    expect(told).toHaveLength(2)
  })

  it('cannot be, by a client that cannot say what else it is for', () => {
    const { topicsOf: _, ...blind } = setUp().driver
    expect(kafkaTransport(blind).dropGroup).toBeUndefined()
    expect(kafkaTransport(fakeDriver()).dropGroup).toBeUndefined()
  })
})
