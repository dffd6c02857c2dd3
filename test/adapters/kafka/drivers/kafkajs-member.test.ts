// A member by way of kafkajs, in orders of events that a real broker gives us once in a thousand runs.
import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { decodeSubscription } from '../../../../src/adapters/kafka/assignment.ts'
import type { MemberEvents, TopicPartition } from '../../../../src/adapters/kafka/driver.ts'
import { KafkaJsMember } from '../../../../src/adapters/kafka/drivers/kafkajs-member.ts'
import { nextTurn } from '../../../../src/core/clock.ts'
import { at, fakeKafkaJs } from './fake-kafkajs.ts'

const REBALANCE = { type: 'REBALANCE_IN_PROGRESS' }

const turns = async (): Promise<void> => {
  for (let count = 0; count < 3; count++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
}

const member = () => {
  const clock = fakeClock()
  const kafka = fakeKafkaJs()
  const told: string[] = []
  const places = (all: readonly TopicPartition[]): string => all.map(({ partition }) => partition).join()
  const busy: TopicPartition[] = []
  let drained = (): void => {}
  const events: MemberEvents = {
    onRebalancing: () => busy,
    onAssigned: (assigned, kept) => void told.push(`assigned ${places(assigned)} kept ${places(kept)}`),
    onRevoking: (some) => {
      told.push(`revoking ${places(some)}`)
      return new Promise((resolve) => {
        drained = resolve
      })
    },
    onLost: (some) => void told.push(`lost ${places(some)}`),
    onRecords: (from, records) =>
      void told.push(`records ${from.partition}: ${records.map(({ offset }) => offset).join()}`),
    onEnded: ({ code }) => void told.push(`ended ${code}`),
  }
  const settings = {
    clock,
    maxWaitMs: 50,
    sessionTimeoutMs: 30_000,
    heartbeatMs: 1_000,
    rebalanceTimeoutMs: 60_000,
    joinWithinMs: 90_000,
  }
  const one = new KafkaJsMember(kafka, 'g', ['orders'], events, settings, {}, async () => 2)
  const begin = async (...assigned: number[]): Promise<void> => {
    const starting = one.start()
    await turns()
    kafka.joining()
    kafka.joined(assigned)
    await starting
    for (const partition of assigned) {
      one.seek({ ...at(partition), offset: 0 })
      one.resume([at(partition)])
    }
    told.length = 0
    kafka.log.length = 0
  }
  /** At work on both partitions, when another member has come. */
  const beginsWithSurplus = async (): Promise<void> => {
    await begin(0, 1)
    busy.push(at(0), at(1))
    kafka.members = 2
    kafka.joining()
    kafka.joined([0, 1])
    await turns()
  }
  /** What it asked for with an attempt to join. */
  const asked = (): unknown => decodeSubscription(kafka.joining()[0] as Buffer).claim
  return { clock, kafka, one, told, begin, beginsWithSurplus, asked, drained: () => drained() }
}

describe('a member by way of kafkajs', () => {
  it('joins again where an attempt failed, before anything is fetched: what waits for an assignment gets one', async () => {
    const { kafka, told, begin } = member()
    await begin(0, 1)
    expect(kafka.turn()).toBeUndefined()
    // The broker never hears of it, and takes heartbeats of the old generation.
    kafka.joining()
    expect(kafka.turn()).toMatchObject(REBALANCE)
    kafka.joining()
    kafka.joined([0, 1])
    // Of two attempts nobody knows whether somebody else was given them in between.
    expect(told).toEqual(['lost 0,1', 'assigned 0,1 kept '])
    expect(kafka.turn()).toBeUndefined()
  })

  it('keeps what stays with it, where it was', async () => {
    const { kafka, told, begin } = member()
    await begin(0, 1)
    await kafka.records(0, 0, 1, 2)
    kafka.joining()
    kafka.joined([0])
    expect(told).toEqual(['records 0: 0,1,2', 'lost 1', 'assigned 0 kept 0'])
    expect(kafka.log).toEqual(['seek 0 to 3'])
  })

  it('gives up its surplus once that is finished, by another rebalance', async () => {
    const { kafka, told, beginsWithSurplus, asked, drained } = member()
    await beginsWithSurplus()
    expect(told).toEqual(['assigned 0,1 kept 0,1', 'revoking 1'])
    expect(kafka.turn()).toBeUndefined()
    drained()
    await turns()
    expect(kafka.turn()).toMatchObject(REBALANCE)
    expect(asked()).toEqual({ held: { orders: [0] }, owned: {} })
    kafka.joined([0])
    expect(told.slice(2)).toEqual(['lost 1', 'assigned 0 kept 0'])
    expect(kafka.turn()).toBeUndefined()
  })

  it('gives it up with whatever rebalance comes next, and asks for no other', async () => {
    const { kafka, beginsWithSurplus, asked, drained } = member()
    await beginsWithSurplus()
    drained()
    await turns()
    expect(asked()).toEqual({ held: { orders: [0] }, owned: {} })
    kafka.joined([0])
    expect(kafka.turn()).toBeUndefined()
  })

  it('does not give up again what it was given back', async () => {
    const { kafka, told, beginsWithSurplus, asked, drained } = member()
    await beginsWithSurplus()
    drained()
    await turns()
    asked()
    // The leader is of another library, and shares in its own way.
    kafka.joined([0, 1])
    await turns()
    expect(told.slice(2)).toEqual(['lost 1', 'assigned 0,1 kept 0'])
    expect(kafka.turn()).toBeUndefined()
  })

  it('does not give up what another rebalance has handed out again meanwhile', async () => {
    const { kafka, told, beginsWithSurplus, asked, drained } = member()
    await beginsWithSurplus()
    kafka.joining()
    kafka.joined([0, 1])
    drained()
    await turns()
    expect(kafka.turn()).toBeUndefined()
    // It looks again, and asks anew.
    expect(told).toEqual(['assigned 0,1 kept 0,1', 'revoking 1', 'assigned 0,1 kept 0,1', 'revoking 1'])
    expect(asked()).toEqual({ held: { orders: [0, 1] }, owned: {} })
  })

  it('nor what it has asked to keep just now', async () => {
    const { kafka, told, beginsWithSurplus, drained } = member()
    await beginsWithSurplus()
    kafka.joining()
    drained()
    await turns()
    kafka.joined([0, 1])
    await turns()
    // It begins anew.
    expect(told).toEqual(['assigned 0,1 kept 0,1', 'revoking 1', 'assigned 0,1 kept 0,1', 'revoking 1'])
  })

  it('asks again about the group where that failed, so that the other member gets its share', async () => {
    const { clock, kafka, told, beginsWithSurplus } = member()
    let asked = 0
    kafka.onDescribe = async () => {
      if (++asked <= 2) throw new Error('Connection error: ECONNREFUSED')
    }
    await beginsWithSurplus()
    expect(told).toEqual(['assigned 0,1 kept 0,1'])
    await clock.advance(5_000)
    await turns()
    expect([asked, told]).toEqual([2, ['assigned 0,1 kept 0,1']])
    await clock.advance(5_000)
    await turns()
    expect([asked, told]).toEqual([3, ['assigned 0,1 kept 0,1', 'revoking 1']])
  })

  it('does not once it has left', async () => {
    const { clock, kafka, one, beginsWithSurplus } = member()
    let asked = 0
    kafka.onDescribe = async () => {
      asked++
      throw new Error('Connection error: ECONNREFUSED')
    }
    await beginsWithSurplus()
    await one.close()
    await clock.advance(60_000)
    expect([asked, clock.pending]).toEqual([1, 0])
  })

  it('asks for its rebalance until the attempt has begun: of two fetchers that start at once kafkajs hears one', async () => {
    const { kafka, beginsWithSurplus, drained } = member()
    await beginsWithSurplus()
    drained()
    await turns()
    expect(kafka.turn()).toMatchObject(REBALANCE)
    expect(kafka.turn()).toMatchObject(REBALANCE)
    kafka.joining()
    kafka.joined([0])
    expect(kafka.turn()).toBeUndefined()
  })

  it('ends when kafkajs does nothing any more, and not before', async () => {
    const { clock, kafka, told, begin } = member()
    await begin(0)
    for (let count = 0; count < 10; count++) {
      await clock.advance(50_000)
      kafka.turn()
    }
    expect(told).toEqual([])
    await clock.advance(200_000)
    expect(told).toEqual(['lost 0', 'ended TIMED_OUT'])
    expect(kafka.log).toEqual(['disconnect'])
    // Should it come back after all, it must not join.
    expect(() => kafka.joining()).toThrow('closed')
  })

  it('ends when a commit is never answered', async () => {
    const { clock, kafka, one, told, begin } = member()
    await begin(0)
    kafka.onCommit = () => new Promise(() => {})
    const refused = expect(one.commit([{ ...at(0), offset: 1, note: '' }])).rejects.toMatchObject({ code: 'TIMED_OUT' })
    for (let count = 0; count < 11; count++) {
      await clock.advance(10_000)
      kafka.turn()
    }
    await refused
    expect(told).toEqual(['lost 0', 'ended TIMED_OUT'])
  })

  it('begins anew by itself after a crash, with other rights', async () => {
    const { kafka, told, begin } = member()
    await begin(0)
    kafka.crash(new Error('Connection error: ECONNREFUSED'), true)
    kafka.joining()
    kafka.joined([0], 'm2')
    expect(told).toEqual(['lost 0', 'assigned 0 kept '])
    kafka.crash(new Error('Connection error: ECONNREFUSED'), false)
    expect(told.slice(2)).toEqual(['lost 0', 'ended CONNECTION_REFUSED'])
  })

  it('begins anew where kafkajs takes for final what will pass: no coordinator while a broker is being stopped', async () => {
    const { clock, kafka, told, begin } = member()
    await begin(0)
    const final = Object.assign(new Error('Failed to find group coordinator'), { retriable: false })
    kafka.crash(Object.assign(new Error(final.message), { cause: final }), false)
    expect([kafka.log, told]).toEqual([[], ['lost 0']])
    await clock.advance(1_000)
    expect(kafka.log).toEqual(['run'])
    kafka.joining()
    kafka.joined([0], 'm2')
    expect(told).toEqual(['lost 0', 'assigned 0 kept '])
  })

  it('ends where restartOnFailure of the user forbids to begin anew', async () => {
    const { clock, kafka, told, begin } = member()
    await begin(0)
    const passing = Object.assign(new Error('The group coordinator is not available'), { retriable: true })
    kafka.crash(Object.assign(new Error(passing.message), { cause: passing }), false)
    await clock.advance(1_000)
    expect([kafka.log, told]).toEqual([['disconnect'], ['lost 0', 'ended UNAVAILABLE']])
  })

  it('begins anew so often, and not for ever: it may not be let in any more, which kafkajs does not say', async () => {
    const { clock, kafka, told, begin } = member()
    await begin(0)
    for (let count = 0; count < 20; count++) {
      kafka.crash(new Error('Failed to find group coordinator'), false)
      await clock.advance(1_000)
    }
    expect([kafka.log.length, told]).toEqual([20, ['lost 0']])
    kafka.crash(new Error('Failed to find group coordinator'), false)
    expect(told).toEqual(['lost 0', 'ended UNAVAILABLE'])
  })

  it('ends where it cannot begin anew', async () => {
    const { clock, kafka, told, begin } = member()
    await begin(0)
    kafka.onRun = () => Promise.reject(new Error('Connection error: ECONNREFUSED'))
    kafka.crash(new Error('Failed to find group coordinator'), false)
    await clock.advance(1_000)
    await turns()
    expect(told).toEqual(['lost 0', 'ended CONNECTION_REFUSED'])
  })

  it('does not begin anew once it is closed', async () => {
    const { clock, kafka, one, begin } = member()
    await begin(0)
    kafka.crash(new Error('Failed to find group coordinator'), false)
    await one.close()
    await clock.advance(1_000)
    expect(kafka.log).toEqual(['disconnect'])
  })

  it('is closed while it joins: it leaves once it has joined', async () => {
    const { kafka, one, told, begin } = member()
    await begin(0)
    kafka.joining()
    const closing = one.close()
    await turns()
    expect(kafka.log).toEqual([])
    kafka.joined([0])
    await closing
    expect(kafka.log).toContain('disconnect')
    expect(told).toEqual([])
    expect(() => kafka.joining()).toThrow('closed')
  })

  it('leaves at last, where an attempt to join never ends', async () => {
    const { clock, kafka, one, begin } = member()
    await begin(0)
    kafka.joining()
    const closing = one.close()
    await clock.advance(2_500)
    await closing
    expect(kafka.log).toEqual([])
    await clock.advance(90_000)
    await turns()
    expect(kafka.log).toEqual(['disconnect'])
  })

  it('fails to start when nothing is assigned in time', async () => {
    const { clock, kafka, one, told } = member()
    const starting = expect(one.start()).rejects.toMatchObject({ code: 'TIMED_OUT', effect: 'none' })
    await clock.advance(90_000)
    await starting
    expect([kafka.log, told]).toEqual([['run', 'disconnect'], []])
  })
})
