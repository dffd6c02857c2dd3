// The suite over the memory transport, and what the suite itself must do: find lies of a descriptor, see faults of brokers, say what it leaves out.
import { afterAll, describe, expect, it, test } from 'vitest'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { MessageTransport, TransportCapabilities } from '../../../src/core/contracts/transport.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import {
  claimsOf,
  oneCase,
  runTransportSuite,
  type TransportLab,
  testTransport,
  transportCases,
} from '../../../src/testing/transport-suite/index.ts'
import { type RemoteFaults, remoteLab } from './remote-lab.ts'

type BrokerOptions = NonNullable<Parameters<typeof memoryBroker>[0]>

// The same transport under another descriptor.
const saying = (transport: MessageTransport, lies: Partial<TransportCapabilities>): MessageTransport => ({
  name: transport.name,
  capabilities: { ...transport.capabilities, ...lies },
  deadLetters: transport.deadLetters,
  prepare: (channels, mode) => transport.prepare(channels, mode),
  send: (channel, envelopes, context) => transport.send(channel, envelopes, context),
  receive: (from, sink) => transport.receive(from, sink),
  inspect: (from, minPriority) => (transport.inspect as NonNullable<MessageTransport['inspect']>)(from, minPriority),
  close: () => transport.close(),
})

const memoryLab = (
  options: Omit<BrokerOptions, 'clock'> = {},
  lies: Partial<TransportCapabilities> = {},
): TransportLab => {
  const clock = fakeClock()
  const broker = memoryBroker({ clock, ...options })
  return {
    open: ({ leaseMs } = {}) => saying(memoryTransport({ broker, leaseMs }), lies),
    clock,
    pass: (ms) => clock.advance(ms),
    leaseMs: 1_000,
    patienceMs: 300,
    cut: async () => broker.cut(),
    close: async () => {},
  }
}

await testTransport('memory', () => memoryLab(), { describe, test, afterAll })
await testTransport('memory that knows duplicates', () => memoryLab({ dedupeWindowMs: 60_000 }), {
  describe,
  test,
  only: ['duplicate', 'as they were sent', 'starts again after a close'],
})
await testTransport('memory whose channels have to be made', () => memoryLab({ autoCreate: false }), {
  describe,
  test,
  afterAll,
  only: ['channel', 'private place'],
})
await testTransport('memory that keeps nothing to be read again', () => memoryLab({ retainMessages: 0 }), {
  describe,
  test,
  afterAll,
  only: ['group', 'start'],
})
await testTransport(
  'memory in real time',
  () => {
    const broker = memoryBroker()
    return {
      open: ({ leaseMs } = {}) => memoryTransport({ broker, leaseMs }),
      leaseMs: 300,
      delayMs: 100,
      quietMs: 20,
      heavy: 1_000,
      close: async () => {},
    }
  },
  { describe, test, afterAll, only: ['loses its lease', 'not before its time', 'shares many'] },
)
await testTransport('a broker behind a connection', () => remoteLab(), { describe, test, afterAll })
await testTransport('a transport whose send is a delivery', () => remoteLab({ handled: true }), {
  describe,
  test,
  afterAll,
})

describe('what the suite finds', () => {
  // A claim that no case could prove in this lab, or that a case refutes.
  it.each<[Partial<TransportCapabilities>, { unproven?: string; failing?: string }]>([
    [{ persistent: true }, { unproven: 'persistent' }],
    [{ acknowledged: 'disk' }, { unproven: 'acknowledged=disk' }],
    [{ acknowledged: 'replicated' }, { unproven: 'acknowledged=replicated' }],
    [{ order: 'galaxy' as never }, { unproven: 'order=galaxy' }],
    [{ order: 'channel' }, { failing: 'keeps the order of the whole channel' }],
    [{ dedupeWindowMs: 1_000 }, { failing: 'answers a second send of an id within the window' }],
    [{ unroutable: 'detected' }, { failing: 'refuses what goes to a channel that is not there' }],
    [{ acknowledged: 'handled' }, { failing: 'answers a send once a receiver has handled the message' }],
    [{ maxPayloadBytes: 2_000_000 }, { failing: 'takes a message of exactly the largest size' }],
    [{ maxDelayMs: 1_000 }, { failing: 'refuses what it cannot delay for so long' }],
    [{ temporary: false }, { failing: 'refuses a private place where it has none' }],
    [{ replay: false }, { failing: 'refuses to start elsewhere than with the latest' }],
  ])('a descriptor that says %o', async (lie, { unproven, failing }) => {
    const report = await runTransportSuite(() => memoryLab({}, lie), failing === undefined ? {} : { only: [failing] })
    if (unproven !== undefined) expect(report.unproven).toEqual([unproven])
    if (failing !== undefined) {
      expect(report.failed.length).toBeGreaterThan(0)
      for (const { name } of report.failed) expect(name).toContain(failing)
    }
  })

  it.each<[string, RemoteFaults, string]>([
    ['forgets what it had at a restart', { forgets: true }, 'loses nothing it accepted when the broker restarts'],
    ['forgets what it held at a restart', { forgets: true }, 'keeps what waits over a restart'],
    ['never answers into silence', { hangs: true }, 'recovers from a connection that fell silent'],
    ['throws errors without a code', { errors: 'plain' }, 'says what is wrong while the broker is stopped'],
    ['throws errors that nobody classified', { errors: 'vague' }, 'says what is wrong while the broker is stopped'],
    ['answers before a message is handled', { handled: 'early' }, 'answers a send once a receiver has handled'],
  ])('a broker that %s', async (_, faults, name) => {
    expect((await runTransportSuite(() => remoteLab(), { only: [name] })).failed).toEqual([])
    const { failed } = await runTransportSuite(() => remoteLab(faults), { only: [name] })
    expect(failed.length).toBeGreaterThan(0)
  })

  it('a case that is none for one order of the whole channel is left out, not passed', async () => {
    const { passed, skipped } = await runTransportSuite(() => memoryLab({}, { order: 'channel' }), {
      only: ['asks no more of a receiver'],
    })
    expect([passed, skipped.map(({ reason }) => reason)]).toEqual([
      [],
      ['one order for the whole channel', 'one order for the whole channel'],
    ])
  })

  it('what is promised and cannot be tried in the lab', async () => {
    const all = await runTransportSuite(() => remoteLab({ offers: ['stop', 'cut'] }))
    expect(all.failed).toEqual([])
    expect(all.unproven).toEqual(['persistent', 'acknowledged=disk'])
    const { leaseMs: _, ...lab } = memoryLab()
    expect((await runTransportSuite(() => lab)).unproven).toEqual(['extend'])
  })

  it('a lab whose transports cannot be opened: it is closed all the same', async () => {
    let closed = 0
    const lab = {
      open: () => Promise.reject(new Error('no broker')),
      close: async () => void closed++,
    }
    await expect(testTransport('none', () => lab, { describe, test })).rejects.toThrow('no broker')
    expect(closed).toBe(1)
  })

  it('a case that does not end', async () => {
    const stuck = oneCase('never ends', {}, () => new Promise(() => {}))
    const { failed } = await runTransportSuite(() => memoryLab(), {
      only: ['never ends'],
      more: [stuck],
      timeoutMs: 20,
    })
    expect(failed.map(({ error }) => (error as Error).message)).toEqual(['it had not ended after 20 ms'])
  })

  it('a transport that does not close', async () => {
    const lab = memoryLab()
    const open = async (): Promise<MessageTransport> => ({
      ...saying(await lab.open(), {}),
      close: () => new Promise(() => {}),
    })
    const { failed } = await runTransportSuite(
      async () => {
        let count = 0
        // The first one is opened to read the descriptor.
        return { ...lab, open: async () => (count++ === 0 ? lab.open() : open()) }
      },
      { only: ['closes before anything was done'] },
    )
    expect(failed.map(({ error }) => (error as Error).message)).toEqual([expect.stringContaining('closing')])
  })
})

describe('what the suite says', () => {
  it('of a name that no case has', async () => {
    await expect(runTransportSuite(() => memoryLab(), { only: ['no such case'] })).rejects.toThrow(
      'no case is called "no such case"',
    )
    const runner = { describe: () => {}, test: () => {}, only: ['whole channel', 'no such case'] }
    await expect(testTransport('misspelt', () => memoryLab(), runner)).rejects.toThrow('no case is called')
  })

  it('of a descriptor that is not there, or lacks a line', async () => {
    const lab = memoryLab()
    const opening = (capabilities: unknown) => async () => ({
      ...lab,
      open: async () => ({ ...saying(await lab.open(), {}), capabilities: capabilities as TransportCapabilities }),
    })
    await expect(runTransportSuite(opening(undefined))).rejects.toThrow('has no descriptor')
    const { modes: _, nack: __, ...rest } = memoryTransport().capabilities
    await expect(runTransportSuite(opening(rest))).rejects.toThrow('are missing: modes, nack')
  })

  it('of a promise whose case failed: which one', async () => {
    const tests = new Map<string, () => void | Promise<void>>()
    await testTransport('lying', () => memoryLab({}, { dedupeWindowMs: 1_000 }), {
      describe: (_, work) => work(),
      test: (name, work) => void tests.set(name, work),
      only: ['answers a second send of an id'],
    })
    for (const work of [...tests.values()].slice(0, -1)) await expect(work()).rejects.toThrow('duplicate')
    await expect([...tests.values()].at(-1)?.()).rejects.toThrow(
      /its case failed: dedupe \("queue: answers a second send/,
    )
  })

  it('of what did not come: to whom', async () => {
    const waits = oneCase('waits', {}, async (bench, mode) => {
      const place = await bench.place(mode, { purpose: 'empty' })
      await bench.arrived([await bench.collect(await bench.open(), place)], 1)
    })
    const { failed } = await runTransportSuite(() => memoryLab(), { only: ['waits'], more: [waits] })
    const messages = failed.flatMap(({ name, error }) => (name === 'waits' ? [(error as Error).message] : []))
    expect(messages.join()).toMatch(/^waited in vain: 1 delivery \(receiver 1 of queue suite-\w+-1-empty got 0\)$/)
  })
})

describe('the cases', () => {
  const names = transportCases.map(({ name }) => name)

  it('have names of their own', () => expect(new Set(names).size).toBe(names.length))

  it('prove claims that a descriptor can make, and each claim has a case', () => {
    const words = {
      order: ['key', 'channel'],
      acknowledged: ['memory', 'disk', 'replicated', 'configured', 'handled'],
      redeliveryCount: ['broker', 'emulated'],
      delay: ['native', 'emulated'],
      nack: ['requeue', 'block', 'either'],
      deadLetters: ['native', 'emulated'],
      unroutable: ['detected', 'impossible'],
    } as const
    const { capabilities } = memoryTransport()
    const everything = { ...capabilities, persistent: true, dedupeWindowMs: 1, maxDelayMs: 1 }
    const claims = new Set(claimsOf(everything))
    for (const [line, values] of Object.entries(words))
      for (const value of values) for (const claim of claimsOf({ ...everything, [line]: value })) claims.add(claim)
    const proven = new Set(transportCases.flatMap(({ proves }) => proves))
    expect([...claims].filter((claim) => !proven.has(claim))).toEqual([])
    expect([...proven].filter((claim) => !claims.has(claim))).toEqual([])
  })

  it('that are left out say why, also in a runner that cannot leave out', async () => {
    const defined: string[] = []
    const left: string[] = []
    await testTransport('quiet', () => memoryLab(), {
      describe: (_, work) => work(),
      test: (name) => void defined.push(name),
      only: ['whole channel'],
    })
    expect(defined).toEqual([
      'left out: queue: keeps the order of the whole channel (it keeps no order among keys)',
      'left out: topic: keeps the order of the whole channel (it keeps no order among keys)',
      'every declared capability has a passing case',
    ])
    await testTransport('quiet', () => memoryLab(), {
      describe: (_, work) => work(),
      test: () => {},
      skip: (name) => void left.push(name),
      only: ['whole channel'],
    })
    expect(left).toHaveLength(2)
  })

  it('fail the last test where something promised was not proven', async () => {
    const tests: (() => void | Promise<void>)[] = []
    await testTransport('lying', () => memoryLab({}, { persistent: true }), {
      describe: (_, work) => work(),
      test: (_, work) => void tests.push(work),
    })
    await expect(tests.at(-1)?.()).rejects.toThrow(/promised by the descriptor and proven by no case: .*persistent/)
  })
})
