// What the conformance suite cannot see of the memory transport: when it hands out, its timers, its memory, its options.
import { AsyncLocalStorage } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { memoryBroker, memoryCapabilities, memoryTransport } from '../../../src/adapters/memory/index.ts'
import { inherited, withInherited } from '../../../src/core/async-context.ts'
import { deadlineAt } from '../../../src/core/deadline.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { failure, outcome } from '../../policies/kit.ts'
import { bench, contextFor, envelope, jobs, news, watched } from './kit.ts'

const many = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `m${from + index}`)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heapUsed = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}
const turn = () => new Promise<void>((resolve) => void setImmediate(resolve))

describe('when it hands out', () => {
  it('does not call the sink from within request, send or settle', async () => {
    const { transport, send } = bench()
    let within = ''
    const seen: string[] = []
    const { receiver, deliveries } = await watched(transport, { channel: jobs }, 0, (delivery) => {
      seen.push(`${delivery.envelope.id} ${within}`)
    })
    await send(jobs, 'a', 'b')
    within = 'in request'
    receiver.request(1)
    within = ''
    await turn()
    receiver.request(2)
    await turn()
    within = 'in settle'
    void deliveries[0]?.settle('retry')
    within = 'in send'
    void send(jobs, 'c')
    within = ''
    await turn()
    expect(seen).toEqual(['a ', 'b ', 'a '])
  })

  it('lets the event loop have its turn while messages and credit never end', async () => {
    const { transport, send } = bench()
    await send(jobs, ...many(10_000))
    let turns = 0
    let handed = 0
    let going = true
    const count = (): void => {
      turns++
      if (going) setImmediate(count)
    }
    setImmediate(count)
    const { receiver } = await watched(transport, { channel: jobs }, 1, (delivery) => {
      if (++handed === 10_000) going = false
      void delivery.settle('ack')
      queueMicrotask(() => receiver.request(1))
    })
    while (going) await turn()
    expect(handed).toBe(10_000)
    expect(turns).toBeGreaterThanOrEqual(9)
  })

  it('lets receivers have their turn while a sender sends without end', async () => {
    const { transport, send } = bench()
    let handed = 0
    const { receiver } = await watched(transport, { channel: jobs }, 1, (delivery) => {
      handed++
      void delivery.settle('ack')
      queueMicrotask(() => receiver.request(1))
    })
    let behind = 0
    for (let sent = 1; sent <= 20_000; sent++) {
      await send(jobs, 'm')
      behind = Math.max(behind, sent - handed)
    }
    expect(behind).toBeLessThan(5_000)
  })

  it('runs the sink outside the context of the sender and of whoever asks', async () => {
    const { transport, send, clock } = bench()
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const look = (): unknown => seen.push([inherited(), storage.getStore()])
    const { receiver } = await watched(transport, { channel: jobs }, 0, (delivery) => {
      look()
      delivery.onLost(look)
    })
    await storage.run('caller', () =>
      withInherited({ deadline: deadlineAt(5, clock) }, async () => {
        await send(jobs, 'a')
        receiver.request(1)
      }),
    )
    await storage.run('clock', () => clock.advance(30_000))
    expect(seen).toEqual([
      [undefined, undefined],
      [undefined, undefined],
    ])
  })

  it('serves receivers in turn, and none that has no credit', async () => {
    const { transport, send } = bench()
    const receivers = await Promise.all([3, 0, 10].map((credit) => watched(transport, { channel: jobs }, credit)))
    await send(jobs, ...many(9))
    await turn()
    expect(receivers.map(({ ids }) => ids.length)).toEqual([3, 0, 6])
    expect(receivers[0]?.ids).toEqual(['m0', 'm2', 'm4'])
  })

  it('ends a subscription whose sink throws, and gives the message to another', async () => {
    const { transport, send } = bench()
    const broken = await watched(transport, { channel: jobs }, 5, () => {
      throw new TypeError('no such thing')
    })
    await send(jobs, 'a', 'b')
    expect((await failure(broken.receiver.ended)).code).toBe('PROGRAMMING_ERROR')
    const { ids, deliveries } = await watched(transport, { channel: jobs }, 5)
    await turn()
    expect(ids).toEqual(['a', 'b'])
    expect(deliveries.map(({ redeliveries }) => redeliveries)).toEqual([1, 0])
  })
})

describe('timers', () => {
  it('has one for a thousand leases, none that keeps the process up, and none once nothing is held', async () => {
    const { transport, send, clock } = bench()
    const { deliveries } = await watched(transport, { channel: jobs }, 1_000)
    await send(jobs, ...many(1_000))
    await turn()
    expect(deliveries).toHaveLength(1_000)
    expect(clock.pending).toBe(1)
    await clock.runAll()
    expect(clock.now()).toBe(0)
    for (const delivery of deliveries) await delivery.settle('ack')
    await clock.advance(30_000)
    expect(clock.pending).toBe(0)
  })

  it('has one for a thousand delayed messages, which keeps the process up only for a receiver', async () => {
    const { transport, send, clock } = bench()
    const notBefore = clock.wallNow() + 500
    await send(jobs, ...many(1_000).map((id) => envelope(id, { notBefore })))
    expect(clock.pending).toBe(1)
    await clock.runAll()
    expect(clock.now()).toBe(0)
    const { ids } = await watched(transport, { channel: jobs }, 1_000)
    await clock.runAll()
    expect(clock.now()).toBe(500)
    expect(ids).toEqual(many(1_000))
  })

  it('nor for one that has left', async () => {
    const { transport, send, clock } = bench()
    const { receiver } = await watched(transport, { channel: jobs }, 1)
    await send(jobs, envelope('later', { notBefore: clock.wallNow() + 500 }))
    await receiver.close()
    await clock.runAll()
    expect([clock.now(), clock.pending]).toEqual([0, 1])
  })

  it('refuses options and places to start from that make no sense', async () => {
    expect(() => memoryTransport({ autoCreate: 'no' as never })).toThrow(/autoCreate/)
    expect(() => memoryTransport({ clock: {} as never })).toThrow(/clock/)
    expect(() => memoryTransport({ name: 5 as never })).toThrow(/name/)
    const transport = memoryTransport()
    for (const from of ['newest', {}, { time: Number.NaN }] as never[])
      await expect(transport.receive({ channel: news, group: 'g', from }, () => {})).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
      })
    await transport.close()
  })

  it('leaves none behind when all is closed', async () => {
    const { transport, send, clock } = bench()
    const reply = await watched(transport, { channel: jobs, temporary: true }, 1)
    await send(reply.receiver.address, 'held', envelope('later', { notBefore: clock.wallNow() + 1_000 }))
    const live = await watched(transport, { channel: news }, 1)
    await send(news, 'held', envelope('later', { notBefore: clock.wallNow() + 1_000 }))
    await turn()
    expect([reply.ids, live.ids]).toEqual([['held'], ['held']])
    await transport.close()
    expect(clock.pending).toBe(0)
  })

  it('ends leases one by one, in the order in which they end, and those of one instant together', async () => {
    const { transport, send, clock } = bench({ leaseMs: 100 })
    const lost: string[] = []
    const { deliveries } = await watched(transport, { channel: jobs }, 4, (delivery) => {
      delivery.onLost(() => lost.push(`${delivery.envelope.id} ${clock.now()}`))
    })
    await send(jobs, 'a', 'b', 'c', 'd')
    await turn()
    await deliveries[0]?.extend?.(400)
    await deliveries[2]?.extend?.(50)
    await clock.advance(500)
    expect(lost).toEqual(['c 50', 'b 100', 'd 100', 'a 400'])
  })
})

describe('memory', () => {
  it.each([
    ['without keys', () => undefined],
    ['each of a key of its own', (index: number) => `k${index}`],
    ['of a hundred keys', (index: number) => `k${index % 100}`],
  ])('needs a few hundred bytes for a message that waits, %s', async (_what, keyOf) => {
    const { transport, send } = bench()
    const messages = Array.from({ length: 100_000 }, (_, index) => envelope('m', { key: keyOf(index) }))
    const before = heapUsed()
    await send(jobs, ...messages)
    const after = heapUsed()
    expect((await transport.inspect?.({ channel: jobs }))?.waiting).toBe(100_000)
    expect((after - before) / 100_000).toBeLessThan(400)
  })

  it('refuses what would be too much, dead and held messages counted, and takes more once there is room', async () => {
    const { transport, send } = bench({ maxMessages: 3 })
    const { deliveries } = await watched(transport, { channel: jobs }, 2)
    await send(jobs, 'a', 'b', 'c')
    await turn()
    await deliveries[0]?.settle('dead')
    expect(await send(jobs, 'd')).toEqual(['SELF_EXHAUSTED'])
    await deliveries[1]?.settle('ack')
    expect(await send(jobs, 'd')).toEqual(['accepted'])
  })

  it('keeps no more of a topic than it is told, by number and by age', async () => {
    const { transport, send, clock } = bench({ retainMessages: 3, retainMs: 1_000 })
    const replayed = async (): Promise<readonly string[]> => {
      const { ids, receiver } = await watched(transport, { channel: news, from: 'earliest' }, 100)
      await turn()
      await receiver.close()
      return ids
    }
    await send(news, ...many(5))
    expect(await replayed()).toEqual(['m2', 'm3', 'm4'])
    await clock.advance(600)
    await send(news, 'm5')
    await clock.advance(400)
    expect(await replayed()).toEqual(['m5'])
  })

  it('says that a position is not kept any more', async () => {
    const { transport, send } = bench({ retainMessages: 3 })
    await send(news, ...many(5))
    const at = (position: string) =>
      transport.receive({ channel: news, from: { positions: { '0': position } } }, () => undefined)
    expect(await outcome(at('0'))).toBe('POSITION_EXPIRED')
    expect(await outcome(at('x'))).toBe('INVALID_OPTIONS')
    await at('1')
  })

  it('forgets ids when their window is over', async () => {
    const { send, clock } = bench({ dedupeWindowMs: 1_000 })
    expect(await send(jobs, 'a', 'a')).toEqual(['accepted', 'duplicate'])
    await clock.advance(999)
    expect(await send(jobs, 'a')).toEqual(['duplicate'])
    await clock.advance(1)
    expect(await send(jobs, 'a')).toEqual(['accepted'])
  })
})

describe('what is refused', () => {
  it('options that make no sense', () => {
    const code = (work: () => unknown): string => {
      try {
        work()
      } catch (error) {
        return (error as Error).message
      }
      return 'fine'
    }
    expect(code(() => memoryTransport({ leaseMs: 0 }))).toContain('leaseMs is 0')
    expect(code(() => memoryTransport({ lease: 1 } as object))).toContain('memoryTransport.lease')
    expect(code(() => memoryTransport({ broker: {} as never }))).toContain('memoryBroker()')
    expect(code(() => memoryTransport({ broker: memoryBroker(), autoCreate: false }))).toContain('memoryBroker()')
    expect(code(() => memoryBroker({ maxMessages: 0 }))).toContain('maxMessages')
  })

  it('places that make no sense', async () => {
    const { transport } = bench({ retainMessages: 0 })
    const at = (from: object) => outcome(transport.receive({ channel: jobs, ...from }, () => undefined))
    expect(await at({ group: 'g' })).toBe('INVALID_OPTIONS')
    expect(await at({ channel: news, temporary: true, group: 'g' })).toBe('INVALID_OPTIONS')
    expect(await at({ from: { time: 1 } })).toBe('CAPABILITY_MISSING')
    expect(await at({ channel: news, from: 'earliest' })).toBe('CAPABILITY_MISSING')
    expect(await outcome(transport.inspect?.({ channel: news }) ?? Promise.resolve())).toBe('INVALID_OPTIONS')
  })

  it('the temporary place of another receiver, to receive from, and after its end, to send to', async () => {
    const broker = memoryBroker({ clock: fakeClock() })
    const mine = bench({ broker })
    const theirs = bench({ broker })
    const { receiver, ids } = await watched(mine.transport, { channel: jobs, temporary: true }, 5)
    expect(await outcome(theirs.transport.receive({ channel: receiver.address }, () => undefined))).toBe('FORBIDDEN')
    expect(await theirs.send(receiver.address, 'a')).toEqual(['accepted'])
    await turn()
    expect(ids).toEqual(['a'])
    await receiver.close()
    expect(await theirs.send(receiver.address, 'b')).toEqual(['UNROUTABLE'])
  })
})

describe('its descriptor', () => {
  it('follows the options', () => {
    const { capabilities } = memoryTransport({
      autoCreate: false,
      dedupeWindowMs: 5,
      retainMessages: 0,
      maxPayloadBytes: 9,
    })
    expect(capabilities).toEqual({
      ...memoryCapabilities,
      unroutable: 'detected',
      dedupeWindowMs: 5,
      replay: false,
      maxPayloadBytes: 9,
    })
  })
})

describe('a broker that is cut', () => {
  it('ends every subscription with an error, and gives back what was held', async () => {
    const broker = memoryBroker({ clock: fakeClock() })
    const { transport, send } = bench({ broker })
    const first = await watched(transport, { channel: jobs }, 5)
    await send(jobs, 'a')
    await turn()
    broker.cut()
    expect(await outcome(first.receiver.ended)).toBe('CONNECTION_LOST')
    expect(await outcome(first.deliveries[0]?.settle('ack') ?? Promise.resolve())).toBe('LEASE_LOST')
    const second = await watched(transport, { channel: jobs }, 5)
    await turn()
    expect(second.deliveries[0]?.redeliveries).toBe(1)
  })
})

describe('sending', () => {
  it('fails those of a key behind one that failed, and no others', async () => {
    const { send } = bench({ maxPayloadBytes: 100 })
    const large = new Uint8Array(101)
    const results = await send(
      jobs,
      envelope('1', { key: 'k', body: large }),
      envelope('2', { key: 'k' }),
      envelope('3', { key: 'other' }),
      envelope('4', { body: large }),
      envelope('5'),
    )
    expect(results).toEqual(['PAYLOAD_TOO_LARGE', 'TOO_EARLY', 'accepted', 'PAYLOAD_TOO_LARGE', 'accepted'])
  })

  it('refuses an aborted call with effect none', async () => {
    const { transport, clock } = bench()
    const call = contextFor(clock)
    call.abort(new Error('enough'))
    const [result] = await transport.send(jobs, [envelope('a')], call.context)
    expect(result).toMatchObject({ status: 'failed', error: { code: 'CANCELLED', effect: 'none' } })
  })
})
