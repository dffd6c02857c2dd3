// How old a copy is, and what a read makes of it.
import { describe, expect, it } from 'vitest'
import type { Backlog, MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/classes.ts'
import { errorOf } from '../kit.ts'
import { CHANGES, type CustomerOptions, channelOf, customer, ended, replicaOf, sourceOf } from './kit.ts'
import { memoryLab } from './memory-lab.ts'

const setUp = async (options: Partial<CustomerOptions> = {}) => {
  const lab = memoryLab()
  const channel = channelOf('customers')
  const transport = lab.transport()
  let broker: 'up' | 'silent' | 'cannot say' | Backlog = 'up'
  const watched: MessageTransport = Object.assign(Object.create(transport) as MessageTransport, {
    inspect: (from: never) => {
      if (broker === 'silent') return new Promise<never>(() => undefined)
      return broker === 'up' ? transport.inspect?.(from) : Promise.resolve(broker)
    },
  })
  await lab.make('copy')
  const source = sourceOf(lab, transport, channel)
  await source.change('a', customer('a'))
  const replica = replicaOf(lab, await lab.process(), 'copy', watched, channel, {
    snapshot: source.snapshot(),
    probeEveryMs: 5_000,
    lookEveryMs: 5_000,
    ...options,
  })
  await replica.start()
  await lab.until(async () => (await replica.staleness()).state === 'live')
  const settled = <T>(work: Promise<T>): Promise<T> => ended(lab, work)
  return { lab, source, replica, settled, broker: (is: typeof broker) => void (broker = is) }
}
const called = async () => customer('called')

describe('the age of a copy', () => {
  it('a complete copy can be read by a process that starts while the broker is down, and follows once it is up', async () => {
    const { lab, source, replica } = await setUp()
    await replica.close()
    const transport = lab.transport()
    let down = true
    const away: MessageTransport = Object.assign(Object.create(transport) as MessageTransport, {
      prepare: async () => undefined,
      receive: (...given: Parameters<MessageTransport['receive']>) =>
        down ? Promise.reject(createError({ code: 'CONNECTION_REFUSED' })) : transport.receive(...given),
    })
    const again = replicaOf(lab, await lab.process(), 'copy', away, channelOf('customers'), {
      snapshot: source.snapshot(),
      lookEveryMs: 5_000,
    })
    await again.start()
    expect(await again.read('a')).toMatchObject({ value: customer('a'), from: 'copy' })
    await source.change('a', customer('changed'))
    down = false
    await lab.until(async () => (await again.read('a')).value?.name === 'changed')
    await again.close()
  })

  it('is nothing while nothing waits, however long ago the last change was', async () => {
    const { lab, replica } = await setUp()
    await lab.pass(3_600_000)
    const { behindMs, waiting } = await replica.staleness()
    expect([behindMs, waiting]).toEqual([0, 0])
    expect(await replica.read('a', { maxAgeMs: 1, otherwise: called })).toMatchObject({ from: 'copy', ageMs: 0 })
    await replica.close()
  })

  it('grows while the broker is silent: too old is a call, or an error that says how old', async () => {
    const { lab, replica, broker, settled } = await setUp()
    broker('silent')
    await lab.pass(60_000)
    expect(await settled(replica.read('a', { maxAgeMs: 120_000, otherwise: called }))).toMatchObject({ from: 'copy' })
    expect(await settled(replica.read('a', { maxAgeMs: 30_000, otherwise: called }))).toEqual({
      value: customer('called'),
      from: 'call',
      ageMs: 0,
    })
    const error = await errorOf(() => settled(replica.read('a', { maxAgeMs: 30_000 })))
    expect(error).toMatchObject({ code: 'UNAVAILABLE', effect: 'none', transient: true, details: { why: 'old' } })
    expect((error.details as { ageMs: number }).ageMs).toBeGreaterThanOrEqual(60_000)
    // Without a bound it answers, and says how old it is.
    const { from, ageMs } = await replica.read('a')
    expect([from, ageMs >= 60_000]).toEqual(['copy', true])
    expect(replica.events.filter(({ type }) => type === 'replica-missed')).toMatchObject([
      { why: 'old', called: true },
      { why: 'old', called: false },
    ])
    const asked = replica.staleness()
    expect(await settled(asked)).toMatchObject({ state: 'live', waiting: undefined })
    broker('up')
    expect(await settled(replica.read('a', { maxAgeMs: 1 }))).toMatchObject({ from: 'copy', ageMs: 0 })
    await replica.close()
  })

  it('is that of what waits: messages that were handled do not hide older ones', async () => {
    const { lab, source, replica, broker } = await setUp()
    await lab.pass(100_000)
    broker({ waiting: 5, oldestMs: 40_000 })
    await source.alive()
    await lab.pass(100)
    const { behindMs, waiting, lastEventAt } = await replica.staleness()
    expect(waiting).toBe(5)
    expect(behindMs).toBeGreaterThanOrEqual(40_000)
    expect(behindMs).toBeLessThan(41_000)
    expect(lab.clock.wallNow() - Number(lastEventAt)).toBeLessThan(1_000)
    expect(await replica.read('a', { maxAgeMs: 10_000, otherwise: called })).toMatchObject({ from: 'call' })
    expect(await replica.read('a', { maxAgeMs: 60_000, otherwise: called })).toMatchObject({ from: 'copy' })
    await replica.close()
  })

  it('counts what is held here, and what waits for its next attempt: messages that were handled since do not hide it', async () => {
    let stuck = false
    let failing = false
    let free: () => void = () => undefined
    const { lab, source, replica } = await setUp({
      changes: {
        ...CHANGES,
        'customer.changed': async (message, context) => {
          if (stuck && message.data.id === 'slow') await new Promise<void>((resolve) => (free = resolve))
          if (failing && message.data.id === 'slow') throw new Error('not yet')
          return CHANGES['customer.changed']?.(message, context)
        },
      },
      retries: { immediate: 0, delayedMs: [20_000] },
    })
    stuck = true
    await source.change('slow', customer('slow'))
    await lab.pass(10_000)
    await source.change('b', customer('b'))
    await lab.pass(100)
    expect(await replica.read('b')).toMatchObject({ value: customer('b') })
    const held = await replica.staleness()
    expect(held.waiting).toBe(0)
    expect(held.behindMs).toBeGreaterThanOrEqual(10_000)
    stuck = false
    failing = true
    free()
    await lab.pass(1_000)
    failing = false
    await source.change('c', customer('c'))
    await lab.pass(100)
    expect(await replica.read('c')).toMatchObject({ value: customer('c') })
    expect((await replica.staleness()).behindMs).toBeGreaterThanOrEqual(11_000)
    await lab.until(async () => (await replica.read('slow')).value !== undefined)
    await lab.pass(100)
    expect((await replica.staleness()).behindMs).toBe(0)
    await replica.close()
  })

  it('is asked for by itself: a read that wants nothing of it says how old the copy is, not how long ago somebody asked', async () => {
    const { lab, replica } = await setUp()
    await lab.pass(3_600_000)
    expect((await replica.read('a')).ageMs).toBeLessThanOrEqual(6_000)
    await replica.close()
  })

  it('a first message says nothing of those before it that still wait', async () => {
    const { lab, source, replica, broker } = await setUp()
    await replica.close()
    const again = replicaOf(lab, await lab.process(), 'copy', lab.transport(), channelOf('customers'), {
      snapshot: source.snapshot(),
      probeEveryMs: 3_600_000,
    })
    await lab.pass(50_000)
    const starting = again.start()
    await source.alive()
    await starting
    await lab.pass(100)
    // Nobody has asked the broker so far: only what was known when it was loaded is known.
    expect((await again.read('a')).ageMs).toBeGreaterThanOrEqual(50_000)
    broker('up')
    await again.close()
  })

  it('is that of the last message where the broker cannot say: a heartbeat keeps it young', async () => {
    const blind = memoryLab()
    const channel = channelOf('blind')
    const transport = blind.transport()
    const unasked: MessageTransport = Object.assign(Object.create(transport) as MessageTransport, {
      inspect: undefined,
    })
    const other = sourceOf(blind, transport, channel)
    const second = replicaOf(blind, await blind.process(), 'blind', unasked, channel, { snapshot: other.snapshot() })
    await second.start()
    await blind.until(async () => (await second.staleness()).state === 'live')
    await blind.pass(50_000)
    expect((await second.staleness()).behindMs).toBeGreaterThanOrEqual(50_000)
    await other.alive()
    await blind.pass(100)
    expect((await second.staleness()).behindMs).toBeLessThan(1_000)
    await second.close()
  })

  it('rejects with what the call rejects with', async () => {
    const { lab, replica, broker, settled } = await setUp()
    broker('silent')
    await lab.pass(60_000)
    const down = new Error('the owner is down as well')
    const answer = settled(replica.read('a', { maxAgeMs: 1_000, otherwise: () => Promise.reject(down) }))
    await expect(answer).rejects.toBe(down)
    expect(await replica.read('a')).toMatchObject({ from: 'copy' })
    await replica.close()
  })
})
