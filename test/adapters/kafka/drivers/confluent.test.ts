// The driver of @confluentinc/kafka-javascript without its build: what the package keeps to itself, and what is made of it.
import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import type { MemberEvents, NewRecord, TopicPartition } from '../../../../src/adapters/kafka/driver.ts'
import { confluentDriver } from '../../../../src/adapters/kafka/drivers/confluent.ts'
import { confluentFailure } from '../../../../src/adapters/kafka/drivers/confluent-failures.ts'
import { nextTurn } from '../../../../src/core/clock.ts'
import { at, failure, fakeConfluent } from './fake-confluent.ts'

const turns = async (): Promise<void> => {
  for (let count = 0; count < 20; count++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
}

const setUp = (options: Parameters<typeof confluentDriver>[1] = {}) => {
  const clock = fakeClock()
  const kafka = fakeConfluent()
  const told: string[] = []
  const places = (all: readonly TopicPartition[]): string => all.map(({ partition }) => partition).join()
  let drained = (): void => {}
  const events: MemberEvents = {
    onRebalancing: () => {
      told.push('rebalancing')
      return []
    },
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
  const driver = confluentDriver(kafka, { ...options, clock })
  const join = async (...partitions: number[]) => {
    const joining = driver.join('g', ['orders'], events)
    await turns()
    const given = kafka.give(...partitions)
    const member = await joining
    return { member, given }
  }
  return { clock, kafka, told, driver, join, drain: () => drained() }
}

describe('a member by way of @confluentinc/kafka-javascript', () => {
  it('takes partitions over with their places, so that no seek can be lost', async () => {
    const { kafka, told, join } = setUp()
    const { member, given } = await join(0, 1)
    expect(told).toEqual(['assigned 0,1 kept '])
    member.seek({ ...at(0), offset: 5 })
    member.seek({ ...at(1), offset: 0 })
    await turns()
    expect(kafka.asked).toEqual([])
    member.resume([at(0), at(1)])
    await given
    expect(kafka.asked).toEqual(['assign 0@5,1@0'])
  })

  it('begins at the beginning, paused, where a place is late in coming: a seek is then in time', async () => {
    const { clock, kafka, told, join } = setUp()
    const { member, given } = await join(0)
    await clock.advance(2_000)
    await given
    expect(kafka.asked).toEqual(['assign 0@-2', 'pause 0'])
    await kafka.records(0, 0, 1)
    expect(told).toEqual(['assigned 0 kept '])
    member.seek({ ...at(0), offset: 7 })
    member.resume([at(0)])
    expect(kafka.asked.slice(2)).toEqual(['seek 0@7', 'resume 0'])
    await kafka.records(0, 6, 7, 8)
    expect(told.at(-1)).toBe('records 0: 7,8')
  })

  it('resolves a batch before it is handed out, and does not hand out twice', async () => {
    const { kafka, told, join } = setUp()
    const { member, given } = await join(0)
    member.seek({ ...at(0), offset: 3 })
    member.resume([at(0)])
    await given
    expect(await kafka.records(0, 3, 4)).toBe('4')
    await kafka.records(0, 4, 5)
    expect(told.slice(1)).toEqual(['records 0: 3,4', 'records 0: 5'])
  })

  it('keeps what it has when more is given, and drains what is taken before it is lost', async () => {
    const { kafka, told, join, drain } = setUp()
    const { member, given } = await join(0, 1)
    for (const partition of [0, 1]) member.seek({ ...at(partition), offset: 0 })
    member.resume([at(0), at(1)])
    await given
    const more = kafka.give(2)
    await turns()
    expect(told.at(-1)).toBe('assigned 0,1,2 kept 0,1')
    member.seek({ ...at(2), offset: 0 })
    member.resume([at(2)])
    await more
    const taking = kafka.take(false, 1)
    await turns()
    expect(told.at(-1)).toBe('revoking 1')
    drain()
    await taking
    expect(told.at(-1)).toBe('lost 1')
    await kafka.take(true, 0, 2)
    expect(told.slice(-2)).toEqual(['lost 1', 'lost 0,2'])
  })

  it('freezes all where the assignor makes members give up all', async () => {
    const { kafka, told, join, drain } = setUp({ assignor: 'range' })
    const { member, given } = await join(0)
    member.seek({ ...at(0), offset: 0 })
    member.resume([at(0)])
    await given
    const taking = kafka.take(false, 0)
    await turns()
    drain()
    await taking
    expect(told.slice(1)).toEqual(['rebalancing', 'revoking 0', 'lost 0'])
  })

  it('has committed only what the broker has: what it refused without a word is tried again, and lost in the end', async () => {
    const { clock, kafka, join } = setUp()
    const { member, given } = await join(0)
    member.seek({ ...at(0), offset: 0 })
    member.resume([at(0)])
    await given
    kafka.takes = false
    let ended = ''
    const commit = member.commit([{ ...at(0), offset: 0, note: '' }]).then(
      () => (ended = 'committed'),
      (error: { code: string }) => (ended = error.code),
    )
    await turns()
    expect(ended).toBe('')
    kafka.takes = true
    await clock.advance(100)
    await commit
    expect(ended).toBe('committed')
    kafka.takes = false
    const refused = member.commit([{ ...at(0), offset: 4, note: 'x' }]).catch((error: unknown) => error)
    for (let tries = 0; tries < 25; tries++) {
      await turns()
      await clock.advance(100)
    }
    expect(await refused).toMatchObject({ code: 'LEASE_LOST' })
    await expect(member.commit([{ ...at(9), offset: 4, note: '' }])).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  it('ends when the log says that it may not', async () => {
    const { kafka, told, join } = setUp()
    const { member, given } = await join(0)
    member.seek({ ...at(0), offset: 0 })
    member.resume([at(0)])
    await given
    kafka.says('Consumer encountered error while consuming. Retrying. Error details: Group authorization failed')
    expect(told.slice(-2)).toEqual(['lost 0', 'ended FORBIDDEN'])
    await turns()
    expect(kafka.asked.at(-1)).toBe('disconnect')
  })
})

describe('a producer by way of @confluentinc/kafka-javascript', () => {
  const record = (value: Uint8Array | null): NewRecord => ({ ...at(0), key: null, value, headers: {} })

  it('keeps what is empty apart from what is not there', async () => {
    const { kafka, driver } = setUp()
    const producer = await driver.producer()
    await producer.produce([record(new Uint8Array(0)), record(null)])
    const [empty, none] = kafka.sent.map(({ messages: [message] }) => message?.value)
    expect(none).toBeNull()
    // The package takes a buffer without memory for null.
    expect(empty).toHaveLength(0)
    expect((empty as Buffer).buffer.byteLength).toBeGreaterThan(0)
  })

  it('says what became of each record', async () => {
    const { kafka, driver } = setUp()
    const producer = await driver.producer()
    kafka.onSend = async ({ messages: [message] }) => {
      if (message?.value?.length === 2) throw failure(29, 'Broker: Topic authorization failed')
      if (message?.value?.length === 3) throw failure(-192, 'Local: Message timed out')
    }
    const answers = await producer.produce([1, 2, 3].map((length) => record(new Uint8Array(length))))
    expect(answers).toMatchObject([
      undefined,
      { code: 'FORBIDDEN', effect: 'none' },
      { code: 'TIMED_OUT', effect: 'unknown' },
    ])
  })

  it('sends what was refused with its batch once more, alone', async () => {
    const { kafka, driver } = setUp()
    const producer = await driver.producer()
    const tooLarge = failure(10, 'Broker: Message size too large')
    kafka.onSend = async ({ messages: [message] }) => {
      if (kafka.sent.length <= 2 || message?.value?.length === 9) throw tooLarge
    }
    expect(await producer.produce([record(new Uint8Array(1)), record(new Uint8Array(9))])).toMatchObject([
      undefined,
      { code: 'PAYLOAD_TOO_LARGE', effect: 'none' },
    ])
    expect(kafka.sent).toHaveLength(4)
  })

  it('says at once why it cannot connect, and closes only what has come to an end', async () => {
    const { kafka, driver } = setUp()
    let connected = (): void => {}
    kafka.onConnect = () =>
      new Promise((resolve) => {
        connected = resolve
      })
    const made = driver.producer().catch((error: unknown) => error)
    await turns()
    kafka.says('Error: 10.0.0.1:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused')
    kafka.says('Error: 1/1 brokers are down')
    expect(await made).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    await turns()
    expect(kafka.asked).toEqual([])
    connected()
    await turns()
    expect(kafka.asked).toEqual(['disconnect'])
  })
})

describe('what @confluentinc/kafka-javascript throws', () => {
  it.each([
    [3, 'UNROUTABLE', 'none'],
    [10, 'PAYLOAD_TOO_LARGE', 'none'],
    [19, 'UNAVAILABLE', 'none'],
    [22, 'LEASE_LOST', 'none'],
    [30, 'FORBIDDEN', 'none'],
    [-150, 'CONNECTION_LOST', 'unknown'],
    [-169, 'UNAUTHENTICATED', 'none'],
    [-185, 'TIMED_OUT', 'unknown'],
    [-186, 'BAD_REQUEST', 'none'],
    [-188, 'UNROUTABLE', 'none'],
    [-195, 'CONNECTION_LOST', 'unknown'],
  ])('%i is %s, %s', (number, code, effect) => {
    expect(confluentFailure(failure(number, 'words'))).toMatchObject({ code, effect, transport: 'kafka' })
  })

  it('knows one that the package cannot make, and looks into a list', () => {
    const cannot = new TypeError('error.KafkaJSGroupCoordinatorNotAvailableError is not a constructor')
    expect(confluentFailure(cannot)).toMatchObject({ code: 'UNAVAILABLE', effect: 'none' })
    const list = Object.assign(new Error('Topic creation errors'), { errors: [failure(37, 'Invalid partitions')] })
    expect(confluentFailure(list)).toMatchObject({ code: 'BAD_REQUEST', effect: 'none' })
  })

  it('of what is not known it does not say that nothing was done', () => {
    expect(confluentFailure(failure(-1, 'Unknown broker error'))).toMatchObject({ effect: 'unknown' })
  })
})

describe('options of confluentDriver', () => {
  const wrong = expect.objectContaining({ code: 'INVALID_OPTIONS' })
  it('refuses settings that a promise hangs on, and says which', () => {
    expect(() => confluentDriver(fakeConfluent(), { consumer: { 'enable.auto.commit': true } })).toThrow(wrong)
    expect(() => confluentDriver(fakeConfluent(), { producer: { acks: 1 } })).toThrow(/producer.acks/)
    expect(() => confluentDriver(fakeConfluent(), { assignor: 'mine' as never })).toThrow(wrong)
    expect(() => confluentDriver({} as never)).toThrow(wrong)
  })

  it('does not know 0 from nothing by itself, and asks where it is told', async () => {
    const { kafka, driver } = setUp()
    kafka.committed.set(0, { offset: '0', metadata: '' })
    await driver.setCommitted('g', [
      { ...at(0), offset: 4 },
      { ...at(1), offset: 2 },
    ])
    expect(kafka.asked).toEqual(['commit 1@2'])
  })
})
