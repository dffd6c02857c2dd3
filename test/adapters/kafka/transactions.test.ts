// Commits by transactions, in orders of events that a real broker gives us seldom.
import { createConsumer, topic } from 'fairlead/messaging'
import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { brokerError } from '../../../src/adapters/kafka/classify-kafka.ts'
import type { Committed, KafkaRecord, NewRecord, PartitionCommit } from '../../../src/adapters/kafka/driver.ts'
import { kafkaTransactions } from '../../../src/adapters/kafka/transactions/kafka-transactions.ts'
import { kafkaTransport } from '../../../src/adapters/kafka/transport.ts'
import { nextTurn } from '../../../src/core/clock.ts'
import type { Delivery } from '../../../src/core/contracts/transport.ts'
import { isFairleadError } from '../../../src/errors/index.ts'
import { at, fakeDriver, record } from './fake-driver.ts'

const turns = async (): Promise<void> => {
  for (let count = 0; count < 6; count++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
}

interface Call {
  readonly name: string
  readonly texts: readonly string[]
  readonly offsets: readonly PartitionCommit[]
}

const TEN_TRIES = 10

const lab = async () => {
  const clock = fakeClock()
  const driver = fakeDriver(1)
  const calls: Call[] = []
  const taken: string[] = []
  const state = {
    clock,
    driver,
    calls,
    taken,
    /** What becomes of the next transactions; default: committed. */
    onTransact: async (commit: () => void, _call: Call): Promise<void> => commit(),
  }
  driver.transactor = async (name) => {
    taken.push(name)
    return {
      transact: async (records: readonly NewRecord[], _, offsets) => {
        const call = { name, texts: records.map(({ value }) => String(value)), offsets }
        calls.push(call)
        await state.onTransact(() => {
          for (const { partition, offset, note } of offsets) driver.places.set(partition, { offset, note })
        }, call)
      },
      close: async () => {},
    }
  }
  const transport = kafkaTransport(driver, { clock })
  const transactions = kafkaTransactions(transport)
  const got: Delivery[] = []
  const receiver = await transport.receive({ channel: { kind: 'queue', name: 'orders' } }, (delivery) => {
    got.push(delivery)
  })
  let ended: unknown
  receiver.ended.catch((error) => {
    ended = error
  })
  receiver.request(100)
  driver.events?.onAssigned([at(0)], [])
  await turns()
  const come = async (...offsets: number[]): Promise<void> => {
    driver.events?.onRecords(
      at(0),
      offsets.map((offset) => record(offset, `k${offset}`)),
    )
    await turns()
  }
  const Out = topic('out', { made: z.string() })
  /** As a handler would that was given these. */
  const handle = (offsets: readonly number[], ...texts: string[]): { is: string } => {
    const fate = { is: 'pending' }
    const messages = offsets.map((offset) => {
      const delivery = got.findLast(({ position }) => position === String(offset)) as Delivery
      return { source: '/s', id: String(offset), delivery }
    })
    transactions
      .transaction(async (tx) => {
        await transactions.inbox.claim(tx, 'c', messages)
        for (const text of texts) await transactions.publish(tx, Out, { type: 'made', data: text })
      })
      .then(
        () => {
          fate.is = 'committed'
        },
        (error) => {
          fate.is = isFairleadError(error) ? error.code : String(error)
        },
      )
    return fate
  }
  const pass = async (ms = 5): Promise<void> => {
    await turns()
    await clock.advance(ms)
    await turns()
  }
  const place = (): Committed | undefined => driver.places.get(0)
  return { ...state, state, transport, transactions, receiver, got, come, handle, pass, place, ended: () => ended }
}

describe('transactions of Kafka', () => {
  it('take the name of a partition before its place is read, and commit all that is finished at once', async () => {
    const { come, handle, pass, calls, place, taken, driver, got } = await lab()
    expect(taken).toEqual(['orders.queue.orders.0'])
    await come(0, 1, 2)
    const fates = [handle([2], 'c'), handle([1], 'b')]
    await pass()
    expect(fates.map(({ is }) => is)).toEqual(['committed', 'committed'])
    expect(calls.map(({ texts }) => texts)).toEqual([['"c"', '"b"']])
    // Record 0 is still open: the others stand in the note.
    expect(place()?.offset).toBe(0)
    expect(place()?.note).not.toBe('')
    const last = handle([0], 'a')
    await pass()
    expect([last.is, place()]).toEqual(['committed', { offset: 3, note: '' }])
    // What is settled afterwards, and however, is done already.
    for (const delivery of got) await delivery.settle('retry')
    await pass(60_000)
    expect([calls.length, driver.commits, got.length]).toEqual([2, [], 3])
  })

  it('wait for one another: a partition has one at a time', async () => {
    const { come, handle, pass, calls, state } = await lab()
    await come(0, 1)
    let end = (): void => {}
    state.onTransact = (commit) =>
      new Promise((resolve) => {
        end = () => {
          commit()
          resolve()
        }
      })
    const first = handle([0], 'a')
    await pass()
    const second = handle([1], 'b')
    await pass(1_000)
    expect([calls.length, first.is]).toEqual([1, 'pending'])
    end()
    await pass()
    expect([calls.length, first.is, second.is]).toEqual([2, 'committed', 'pending'])
    end()
    await pass()
    expect([second.is, calls[1]?.offsets[0]?.offset]).toEqual(['committed', 2])
  })

  it('commit also what is acknowledged without one, and never beside them', async () => {
    const { come, pass, calls, got, driver, place } = await lab()
    await come(0)
    const settled = got[0]?.settle('ack')
    await pass()
    await settled
    expect([calls.length, driver.commits, place()]).toEqual([1, [], { offset: 1, note: '' }])
  })

  it('are tried again while that may go well, under the name taken anew', async () => {
    const { come, handle, pass, calls, taken, state } = await lab()
    await come(0)
    let failures = 3
    state.onTransact = async (commit) => {
      if (failures-- > 0) throw brokerError('NOT_ENOUGH_REPLICAS')
      commit()
    }
    const fate = handle([0], 'a')
    for (let tries = 0; tries < TEN_TRIES; tries++) await pass(200)
    expect([fate.is, calls.length, taken.length]).toEqual(['committed', 4, 4])
  })

  it('are looked for where no answer came: what stands is not written again', async () => {
    const { come, handle, pass, calls, state } = await lab()
    await come(0)
    state.onTransact = async (commit) => {
      commit()
      throw brokerError('REQUEST_TIMED_OUT')
    }
    const fate = handle([0], 'a')
    await pass(1_000)
    expect([fate.is, calls.length]).toEqual(['committed', 1])
  })

  it('end the membership where another has the name: what is held is void', async () => {
    const { come, handle, pass, taken, state, ended, got } = await lab()
    await come(0, 1)
    state.onTransact = async () => {
      throw brokerError('PRODUCER_FENCED')
    }
    const fate = handle([0], 'a')
    await pass()
    await pass(3_000)
    expect([fate.is, ended()]).toMatchObject(['LEASE_LOST', { code: 'LEASE_LOST' }])
    // It must not take the name from who has it now.
    expect(taken).toHaveLength(1)
    await expect(got[1]?.settle('ack')).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  it('begin anew where somebody else has moved the place', async () => {
    const { come, handle, pass, state, driver, got } = await lab()
    await come(0, 1)
    state.onTransact = async () => {
      driver.places.set(0, { offset: 1, note: '' })
      throw brokerError('REQUEST_TIMED_OUT')
    }
    // It would move it by two.
    const fate = handle([0, 1], 'a')
    await pass()
    await pass(1_000)
    expect(fate.is).toBe('LEASE_LOST')
    expect(driver.log).toContain('seek 0 to 1')
    state.onTransact = async (commit) => commit()
    await come(1)
    const again = handle([1], 'b')
    await pass()
    expect([again.is, driver.places.get(0), got.map(({ position }) => position)]).toEqual([
      'committed',
      { offset: 2, note: '' },
      ['0', '1', '1'],
    ])
  })

  it('fail alone where a record can never be written, and it stays held', async () => {
    const { come, handle, pass, calls, state, got } = await lab()
    await come(0, 1, 2)
    state.onTransact = async (commit, { texts }) => {
      if (texts.includes('"large"')) throw brokerError('MESSAGE_TOO_LARGE')
      commit()
    }
    const fates = [handle([0], 'a'), handle([1], 'large'), handle([2], 'c')]
    await pass()
    await pass()
    expect(fates.map(({ is }) => is)).toEqual(['committed', 'PAYLOAD_TOO_LARGE', 'committed'])
    expect(calls.map(({ texts }) => texts.length)).toEqual([3, 1, 1, 1])
    await got[1]?.settle('retry')
    await pass()
    expect(got.map(({ position }) => position)).toEqual(['0', '1', '2', '1'])
  })

  it('decide over a verdict that comes meanwhile', async () => {
    const { come, handle, pass, state, got, place } = await lab()
    await come(0)
    let end = (): void => {}
    state.onTransact = (commit) =>
      new Promise((resolve) => {
        end = () => {
          commit()
          resolve()
        }
      })
    const fate = handle([0], 'a')
    await pass()
    // Its handler was left alone by then.
    let told = false
    const verdict = got[0]?.settle('retry').then(() => {
      told = true
    })
    await pass(1_000)
    expect(told).toBe(false)
    end()
    await verdict
    await pass()
    expect([fate.is, place(), got.length]).toEqual(['committed', { offset: 1, note: '' }, 1])
  })

  it('are not committed for a partition that was lost before', async () => {
    const { come, handle, pass, calls, driver } = await lab()
    await come(0)
    const fate = handle([0], 'a')
    await turns()
    driver.events?.onLost([at(0)])
    await pass()
    expect([fate.is, calls]).toEqual(['LEASE_LOST', []])
  })

  it('do not publish with one that is over, nor without what was consumed', async () => {
    const { transactions } = await lab()
    const Out = topic('out', { made: z.string() })
    let late: unknown
    await transactions.transaction(async (tx) => {
      late = tx
    })
    await expect(transactions.publish(late as never, Out, { type: 'made', data: 'x' })).rejects.toMatchObject({
      code: 'TRANSACTION_REQUIRED',
    })
    const alone = transactions.transaction(async (tx) => {
      await transactions.publish(tx, Out, { type: 'made', data: 'x' })
    })
    await expect(alone).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR' })
  })

  it('are refused where they cannot be', async () => {
    const { transport } = await lab()
    expect(() => kafkaTransactions(transport)).toThrow(/before anything is received/)
    expect(() => kafkaTransactions(kafkaTransport(fakeDriver()))).toThrow(/no transactions/)
    expect(() => kafkaTransactions({} as never)).toThrow(/kafkaTransport/)
    const other = await lab()
    const [mine] = other.got
    expect(mine).toBeUndefined()
    await other.come(0)
    const { transactions } = await lab()
    const foreign = transactions.transaction((tx) =>
      transactions.inbox.claim(tx, 'c', [{ source: '/s', id: '0', delivery: other.got[0] }]),
    )
    await expect(foreign).rejects.toMatchObject({ code: 'PROGRAMMING_ERROR' })
  })

  it('are the inbox of a consumer, batches included: those of one partition in one call', async () => {
    const clock = fakeClock()
    const driver = fakeDriver(2)
    const calls: PartitionCommit[][] = []
    driver.transactor = async () => ({
      transact: async (_, __, offsets) => {
        calls.push([...offsets])
        for (const { partition, offset, note } of offsets) driver.places.set(partition, { offset, note })
      },
      close: async () => {},
    })
    const transport = kafkaTransport(driver, { clock })
    const transactions = kafkaTransactions(transport)
    const batches: string[][] = []
    const consumer = createConsumer({
      transport,
      channel: topic('orders', { t: z.any() }),
      group: 'g',
      inbox: transactions,
      clock,
      random: () => 0.5,
      batch: async (messages, { tx }) => {
        batches.push(messages.map(({ id }) => id))
        for (const { id } of messages)
          await transactions.publish(tx, topic('out', { made: z.string() }), { type: 'made', data: id })
      },
    })
    await consumer.start()
    driver.events?.onAssigned([at(0), at(1)], [])
    await turns()
    const event = (offset: number, key: string, id: string): KafkaRecord => {
      const { headers, ...rest } = record(offset, key, id)
      const more = { ce_specversion: '1.0', 'content-type': 'application/json' }
      return { ...rest, value: Buffer.from('1'), headers: { ...headers, ...more } }
    }
    driver.events?.onRecords(at(0), [event(0, 'a', 'a0'), event(1, 'b', 'b1')])
    driver.events?.onRecords(at(1), [event(0, 'c', 'c0')])
    for (let count = 0; count < 10; count++) {
      await turns()
      await clock.advance(500)
    }
    expect(batches.flat().sort()).toEqual(['a0', 'b1', 'c0'])
    expect(batches.length).toBeGreaterThan(1)
    expect(calls.every(({ length }) => length === 1)).toBe(true)
    expect([driver.places.get(0)?.offset, driver.places.get(1)?.offset]).toEqual([2, 1])
    await Promise.all([consumer.close(), clock.advance(60_000)])
  })
})
