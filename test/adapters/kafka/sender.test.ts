import { fakeClock } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { brokerError } from '../../../src/adapters/kafka/classify-kafka.ts'
import { kafkaTransport } from '../../../src/adapters/kafka/transport.ts'
import { createContext } from '../../../src/core/context.ts'
import type { SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { fakeDriver } from './fake-driver.ts'

const orders = { kind: 'topic', name: 'orders' } as const
const message = (id: string, key?: string, bytes = 1): Envelope => ({
  id,
  key,
  attributes: { specversion: '1.0', type: 't', source: '/s' },
  headers: {},
  body: Buffer.alloc(bytes),
})

const setUp = () => {
  const clock = fakeClock()
  const driver = fakeDriver(1)
  const transport = kafkaTransport(driver, { clock })
  const send = (envelopes: readonly Envelope[], deadlineMs = 5_000): Promise<readonly SendResult[]> =>
    transport.send(
      orders,
      envelopes,
      createContext({ service: 's', operation: 'o', deadline: deadlineIn(deadlineMs, clock), idempotent: true })
        .context,
    )
  const sent = (): string[][] => driver.produced.map((call) => call.map(({ headers }) => headers['ce_id'] as string))
  return { clock, driver, transport, send, sent }
}
const codes = (results: readonly SendResult[]): string[] =>
  results.map((result) => {
    if (result.status !== 'failed') return result.status
    const { code, effect } = result.error as FairleadError
    return `${code} ${effect}`
  })

describe('sending', () => {
  it('goes one call at a time, with all that waits', async () => {
    const { clock, driver, send, sent } = setUp()
    await send([message('warm')])
    let answer = (): void => {}
    driver.onProduce = (records) =>
      new Promise((resolve) => {
        answer = () => resolve(records.map(() => undefined))
      })
    const all = [send([message('1')]), send([message('2')]), send([message('3')])]
    await clock.advance(0)
    const later = [send([message('4')]), send([message('5')])]
    await clock.advance(0)
    expect(sent().slice(1)).toEqual([['1', '2', '3']])
    answer()
    await clock.advance(0)
    answer()
    expect((await Promise.all([...all, ...later])).flatMap(codes)).toEqual(Array(5).fill('accepted'))
    expect(sent().slice(1)).toEqual([
      ['1', '2', '3'],
      ['4', '5'],
    ])
  })

  it('keeps a batch of a partition below what the broker takes, and sends none of a key behind a failed one', async () => {
    const { driver, send, sent } = setUp()
    await send([message('warm')])
    driver.onProduce = async (records) => records.map(() => brokerError('NOT_ENOUGH_REPLICAS'))
    const results = await send([message('1', 'a', 600_000), message('2', 'a', 600_000), message('3', 'b', 600_000)])
    expect(codes(results)).toEqual(['UNAVAILABLE none', 'TOO_EARLY none', 'UNAVAILABLE none'])
    expect(sent().slice(1)).toEqual([['1'], ['3']])
    expect((results[1] as { error: FairleadError }).error).toMatchObject({ transient: true, details: { ahead: '1' } })
  })

  it('makes its producer anew when it is not certain what was written', async () => {
    const { driver, send } = setUp()
    await send([message('warm')])
    expect(driver.producers).toBe(1)
    driver.onProduce = async (records) => records.map(() => brokerError('NOT_ENOUGH_REPLICAS'))
    await send([message('refused')])
    expect(driver.producers).toBe(1)
    for (const name of [
      'REQUEST_TIMED_OUT',
      'OUT_OF_ORDER_SEQUENCE_NUMBER',
      'PRODUCER_FENCED',
      'UNKNOWN_PRODUCER_ID',
    ]) {
      driver.onProduce = async (records) => records.map(() => brokerError(name))
      const before = driver.producers
      expect(codes(await send([message('lost')]))[0]).toMatch(/ unknown$/)
      driver.onProduce = async (records) => records.map(() => undefined)
      expect(codes(await send([message('again')]))).toEqual(['accepted'])
      expect(driver.producers).toBe(before + 1)
    }
  })

  it('ends with its deadline: unknown what is out, none what is not', async () => {
    const { clock, driver, send, sent } = setUp()
    await send([message('warm')])
    driver.onProduce = () => new Promise(() => {})
    const out = send([message('1')], 1_000)
    await clock.advance(0)
    const behind = send([message('2')], 1_000)
    await clock.advance(1_000)
    expect(codes(await out)).toEqual(['DEADLINE_EXCEEDED unknown'])
    expect(codes(await behind)).toEqual(['DEADLINE_EXCEEDED none'])
    expect(sent().slice(1)).toEqual([['1']])
  })

  it('is answered by a close', async () => {
    const { clock, driver, transport, send } = setUp()
    await send([message('warm')])
    driver.onProduce = () => new Promise(() => {})
    const out = send([message('1')], 100_000)
    await clock.advance(0)
    const closing = transport.close()
    await clock.advance(10_000)
    await closing
    expect(codes(await out)).toEqual(['SHUTDOWN unknown'])
    expect(codes(await send([message('2')]))).toEqual(['SHUTDOWN none'])
  })
})
