import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { brokerError } from '../../../src/adapters/kafka/classify-kafka.ts'
import type { KafkaTransportOptions } from '../../../src/adapters/kafka/options.ts'
import { kafkaTransport } from '../../../src/adapters/kafka/transport.ts'
import { nextTurn } from '../../../src/core/clock.ts'
import type { Delivery, Receiver } from '../../../src/core/contracts/transport.ts'
import { at, fakeDriver, record } from './fake-driver.ts'

const turns = async (): Promise<void> => {
  for (let count = 0; count < 5; count++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
}

const standing = async (options: KafkaTransportOptions = {}) => {
  const clock = fakeClock()
  const driver = fakeDriver()
  const transport = kafkaTransport(driver, { clock, ...options })
  const got: Delivery[] = []
  const receiver: Receiver = await transport.receive(
    { channel: { kind: 'topic', name: 'orders' }, group: 'g' },
    (delivery) => void got.push(delivery),
  )
  const { events } = driver
  if (events === undefined) throw new Error('nobody joined')
  events.onRebalancing()
  events.onAssigned([at(0), at(1)], [])
  await turns()
  const feed = async (partition: number, ...records: ReturnType<typeof record>[]): Promise<void> => {
    events.onRecords(at(partition), records)
    await turns()
  }
  const pass = async (ms: number): Promise<void> => {
    await clock.advance(ms)
    await turns()
  }
  const texts = (): string[] => got.map(({ envelope }) => envelope.id)
  return { clock, driver, transport, receiver, events, got, texts, feed, pass }
}

const fate = (work: Promise<void>): { is: string } => {
  const seen = { is: 'pending' }
  work.then(
    () => {
      seen.is = 'kept'
    },
    (error: { code: string }) => {
      seen.is = error.code
    },
  )
  return seen
}

describe('a member of a group', () => {
  it('begins where its group was, without what was done behind that', async () => {
    const { driver, receiver, events, texts, feed } = await standing()
    expect(driver.log).toEqual(['seek 0 to 0', 'seek 1 to 0', 'resume 0,1'])
    // Done behind the offset: 6 and 8 of 5...
    driver.places.set(0, { offset: 5, note: `f1:${Buffer.from([0b1010]).toString('base64')}` })
    events.onLost([at(0)])
    events.onAssigned([at(0), at(1)], [at(1)])
    await turns()
    receiver.request(10)
    await feed(0, record(5), record(6), record(7), record(8), record(9))
    expect(texts()).toEqual(['5', '7', '9'])
  })

  it('acknowledges with the commit, and notes what is done behind an open one', async () => {
    const { driver, receiver, got, feed, pass } = await standing()
    let allow = (): void => {}
    driver.onCommit = () =>
      new Promise((resolve) => {
        allow = resolve
      })
    receiver.request(10)
    await feed(0, record(0), record(1), record(2))
    const done = fate(got[1]?.settle('ack') as Promise<void>)
    await pass(10)
    expect(done.is).toBe('pending')
    allow()
    await turns()
    expect(done.is).toBe('kept')
    expect(driver.commits).toEqual([[{ ...at(0), offset: 0, note: `f1:${Buffer.from([0b10]).toString('base64')}` }]])
  })

  it('tries a commit again that was not taken, and gives up with the partition', async () => {
    const { driver, events, receiver, got, feed, pass } = await standing()
    driver.onCommit = async () => {
      throw brokerError('COORDINATOR_NOT_AVAILABLE')
    }
    receiver.request(10)
    await feed(0, record(0))
    await feed(1, record(0))
    const [zero, one] = got.map((delivery) => fate(delivery.settle('ack')))
    await pass(5_000)
    expect([zero?.is, one?.is]).toEqual(['pending', 'pending'])
    events.onLost([at(0)])
    await turns()
    expect([zero?.is, one?.is]).toEqual(['LEASE_LOST', 'pending'])
    driver.onCommit = async () => {}
    await pass(5_000)
    expect(one?.is).toBe('kept')
    expect(driver.commits.flat().map(({ partition }) => partition)).toEqual([1])
  })

  it('ends when the broker will never take its commits', async () => {
    const { driver, receiver, got, feed, pass } = await standing()
    driver.onCommit = async () => {
      throw brokerError('GROUP_AUTHORIZATION_FAILED')
    }
    receiver.request(1)
    await feed(0, record(0))
    const ended = fate(receiver.ended)
    const settled = fate(got[0]?.settle('ack') as Promise<void>)
    await pass(5_000)
    expect([settled.is, ended.is]).toEqual(['LEASE_LOST', 'FORBIDDEN'])
  })

  it('drops the verdicts of what it lost, and never commits them', async () => {
    const { driver, events, receiver, got, feed, pass } = await standing()
    receiver.request(10)
    await feed(0, record(0))
    let told = 0
    got[0]?.onLost(() => told++)
    events.onRebalancing()
    events.onLost([at(0)])
    events.onAssigned([at(1)], [at(1)])
    await turns()
    expect(told).toBe(1)
    await expect(got[0]?.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
    await pass(1_000)
    expect(driver.commits).toEqual([])
    // It comes back in another generation: the old verdict is not that of the new delivery.
    events.onAssigned([at(0), at(1)], [at(1)])
    await turns()
    await feed(0, record(0))
    expect(got.length).toBe(2)
    await expect(got[0]?.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  it('hands out nothing while a rebalance is on, says what it is at work on, and keeps what stays', async () => {
    const { events, receiver, got, texts, feed, pass } = await standing()
    receiver.request(1)
    await feed(0, record(0))
    expect(events.onRebalancing()).toEqual([at(0)])
    receiver.request(5)
    await feed(1, record(0, null, 'other'))
    expect(texts()).toEqual(['0'])
    events.onAssigned([at(0), at(1)], [at(0), at(1)])
    await turns()
    expect(texts()).toEqual(['0', 'other'])
    const kept = fate(got[0]?.settle('ack') as Promise<void>)
    await pass(10)
    expect(kept.is).toBe('kept')
  })

  it('finishes what it holds of partitions that it gives up, within a bound', async () => {
    const { driver, events, receiver, got, texts, feed, pass } = await standing({ revokeWithinMs: 1_000 })
    receiver.request(10)
    await feed(0, record(0))
    await feed(1, record(0, null, 'stuck'))
    let told = 0
    for (const delivery of got) delivery.onRevoking?.(() => told++)
    const first = fate(events.onRevoking([at(0)]))
    await feed(0, record(1))
    expect([told, texts()]).toEqual([1, ['0', 'stuck']])
    void got[0]?.settle('ack')
    await pass(10)
    expect(first.is).toBe('kept')
    expect(driver.commits.at(-1)).toEqual([{ ...at(0), offset: 1, note: '' }])
    const second = fate(events.onRevoking([at(1)]))
    await pass(900)
    expect(second.is).toBe('pending')
    await pass(200)
    expect(second.is).toBe('kept')
  })

  it('leaves when a message is held for too long', async () => {
    const { driver, receiver, got, feed, pass } = await standing({ maxHandlingMs: 1_000 })
    receiver.request(1)
    await feed(0, record(0))
    const ended = fate(receiver.ended)
    let lost = 0
    got[0]?.onLost(() => lost++)
    expect(got[0]?.leaseMs).toBe(1_000)
    await pass(990)
    expect(lost).toBe(0)
    await pass(3_000)
    expect([lost, ended.is, driver.log.at(-1)]).toEqual([1, 'LEASE_LOST', 'left'])
  })

  it('stops reading ahead where enough waits, and goes on', async () => {
    const { driver, receiver, feed } = await standing({ readAhead: 4 })
    await feed(0, record(0), record(1), record(2), record(3), record(4))
    expect(driver.log.at(-1)).toBe('pause 0')
    receiver.request(3)
    await turns()
    expect(driver.log.at(-1)).toBe('resume 0')
  })

  it('writes a dead letter before it commits, and hands the message out again where that failed', async () => {
    const { driver, receiver, got, texts, feed, pass } = await standing()
    driver.onProduce = async () => [brokerError('TOPIC_AUTHORIZATION_FAILED')]
    receiver.request(10)
    await feed(0, record(0, 'k'))
    await expect(got[0]?.settle('dead', { reason: 'bad' })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await pass(1_000)
    expect([texts(), driver.commits]).toEqual([['0', '0'], []])
    driver.onProduce = async (records) => records.map(() => undefined)
    const kept = fate(got[1]?.settle('dead', { reason: 'bad' }) as Promise<void>)
    await turns()
    await pass(10)
    expect(kept.is).toBe('kept')
    expect(driver.produced.at(-1)?.[0]).toMatchObject({
      topic: 'orders.g.dead',
      key: Buffer.from('orders/0/0'),
      headers: { 'fairlead-dead-reason': 'bad', ce_id: '0' },
    })
  })

  it('says that a verdict is lost whose partition went while the dead letter was written', async () => {
    const { driver, events, receiver, got, feed, pass } = await standing()
    let written = (): void => {}
    driver.onProduce = (records) =>
      new Promise((resolve) => {
        written = () => resolve(records.map(() => undefined))
      })
    receiver.request(1)
    await feed(0, record(0))
    const kept = fate(got[0]?.settle('dead', { reason: 'bad' }) as Promise<void>)
    await turns()
    events.onLost([at(0)])
    written()
    await pass(100)
    expect([kept.is, driver.commits]).toEqual(['LEASE_LOST', []])
  })

  it('leaves again when it joined too late for whoever asked: nobody would take what it was given', async () => {
    const clock = fakeClock()
    // It knows how long a join may take; the transport's own bound comes after that.
    const driver = { ...fakeDriver(), joinWithinMs: 90_000 }
    const { join } = driver
    let allow = (): void => {}
    const late = new Promise<void>((resolve) => {
      allow = resolve
    })
    driver.join = async (...parts) => {
      await late
      return join(...parts)
    }
    const transport = kafkaTransport(driver, { clock })
    const asked = fate(
      transport.receive({ channel: { kind: 'topic', name: 'orders' }, group: 'g' }, () => {}).then(() => {}),
    )
    await clock.advance(100_000)
    expect(asked.is).toBe('pending')
    await clock.advance(5_000)
    expect([asked.is, driver.log]).toEqual(['TIMED_OUT', []])
    allow()
    await turns()
    expect(driver.log).toEqual(['left'])
  })

  it('with the last receiver commits what is settled, and leaves', async () => {
    const { driver, receiver, got, feed, pass } = await standing()
    receiver.request(10)
    await feed(0, record(0), record(1))
    const kept = fate(got[0]?.settle('ack') as Promise<void>)
    const closing = receiver.close()
    await pass(10)
    await closing
    expect([kept.is, driver.log.at(-1)]).toEqual(['kept', 'left'])
    expect(driver.commits.at(-1)).toEqual([{ ...at(0), offset: 1, note: '' }])
  })
})
