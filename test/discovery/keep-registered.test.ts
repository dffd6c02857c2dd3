// What every registrar does beside its protocol: what the conformance suite cannot see from outside.
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, it } from 'vitest'
import type { PipelineEvent } from '../../src/core/events.ts'
import { type KeepOptions, keepRegistered, type RegistrationProtocol } from '../../src/discovery/keep-registered.ts'
import { createError, isFairleadError } from '../../src/errors/index.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'

interface Stage {
  readonly clock: FakeClock
  readonly said: string[]
  readonly events: PipelineEvent[]
  readonly options: KeepOptions
}

type Change = (clock: FakeClock) => Partial<RegistrationProtocol>

function stage(change: Change = () => ({}), more: Partial<KeepOptions> = {}): Stage {
  const clock = fakeClock()
  const said: string[] = []
  const events: PipelineEvent[] = []
  const changed = change(clock)
  const saying = (what: string): void => void said.push(`${Math.round(clock.now())} ${what}`)
  const protocol: RegistrationProtocol = {
    async register(state, signal) {
      saying(`register ${state}`)
      await changed.register?.(state, signal)
    },
    async beat(state, signal) {
      saying(`beat ${state}`)
      return (await changed.beat?.(state, signal)) ?? 'kept'
    },
    async setState(state, signal) {
      saying(`state ${state}`)
      await changed.setState?.(state, signal)
    },
    async deregister(signal) {
      saying('deregister')
      await changed.deregister?.(signal)
    },
    async close() {
      saying('close')
      await changed.close?.()
    },
  }
  return {
    clock,
    said,
    events,
    options: {
      registrar: 'test',
      service: 'inventory',
      endpoint: { id: 'one', addresses: [{ host: '10.0.0.1', port: 80 }] },
      protocol,
      intervalMs: 10_000,
      timeoutMs: 2_000,
      clock,
      random: () => 1,
      onEvent: (event) => events.push(event),
      ...more,
    },
  }
}

const types = (events: readonly PipelineEvent[]): string[] => events.map(({ type }) => type)
const never = (): Promise<never> => new Promise(() => {})
const down = (): Promise<never> => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
const timesOf = (said: readonly string[], what: string): number[] =>
  said.filter((each) => each.includes(what)).map((each) => Number(each.split(' ')[0]))

describe('keepRegistered', () => {
  it('says what it does, in order', async () => {
    const { clock, said, events, options } = stage()
    const registration = await keepRegistered(options)
    await clock.advance(20_000)
    await registration.setState('draining')
    await clock.advance(10_000)
    await registration.deregister()
    expect(said).toEqual([
      '0 register ready',
      '10000 beat ready',
      '20000 beat ready',
      '20000 state draining',
      '30000 beat draining',
      '30000 deregister',
      '30000 close',
    ])
    expect(types(events)).toEqual(['registered', 'deregistered'])
    expect(events[0]).toEqual({ type: 'registered', service: 'inventory', registrar: 'test', endpoint: 'one' })
    expect(clock.pending).toBe(0)
  })

  it('beats after 0.8 to 1.0 of the interval', async () => {
    const { clock, said, options } = stage(undefined, { random: seededRandom(3) })
    const registration = await keepRegistered(options)
    await clock.advance(300_000)
    const at = [0, ...timesOf(said, 'beat')]
    const gaps = at.slice(1).map((time, index) => time - (at[index] as number))
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(7_999)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(10_001)
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan(500)
    await registration.deregister()
  })

  it('keeps no process up', async () => {
    const { clock, said, options } = stage()
    const registration = await keepRegistered(options)
    await clock.runAll()
    expect(said).toEqual(['0 register ready'])
    await registration.deregister()
  })

  it('rejects with a code when it cannot register, and is closed', async () => {
    const { clock, said, options } = stage(() => ({ register: down }))
    const error = await keepRegistered(options).catch((thrown: unknown) => thrown)
    expect(isFairleadError(error) && error.code).toBe('CONNECTION_REFUSED')
    expect(said).toEqual(['0 register ready', '0 close'])
    expect(clock.pending).toBe(0)
  })

  it.each(['UNAVAILABLE', 'ATTEMPT_TIMEOUT', 'CONNECTION_LOST'] as const)(
    'takes back what may be there when the first answer is lost: %s',
    async (code) => {
      const { clock, said, options } = stage(() => ({
        register: () => Promise.reject(createError({ code })),
        deregister: never,
      }))
      const registering = keepRegistered(options).catch((thrown: unknown) => thrown)
      await clock.advance(2_000)
      expect(await registering).toMatchObject({ code })
      expect(said).toEqual(['0 register ready', '0 deregister', '2000 close'])
      expect(clock.pending).toBe(0)
    },
  )

  it('gives up a call that takes no end and heeds no signal', async () => {
    const { clock, options } = stage(() => ({ register: never }))
    const registering = keepRegistered(options).catch((thrown: unknown) => thrown)
    await clock.advance(2_000)
    const error = await registering
    expect(isFairleadError(error) && error.code).toBe('ATTEMPT_TIMEOUT')
    expect(clock.pending).toBe(0)
  })

  it('tries a sign of life that failed again sooner, and more slowly each time', async () => {
    const { clock, said, events, options } = stage(() => ({ beat: down }))
    const registration = await keepRegistered(options)
    await clock.advance(40_000)
    expect(timesOf(said, 'beat')).toEqual([10_000, 11_000, 13_000, 17_000, 25_000, 35_000])
    expect(types(events).slice(1)).toEqual(Array(6).fill('heartbeat-failed'))
    await registration.deregister()
  })

  it('comes back to its interval after a failure', async () => {
    let failing = true
    const { clock, said, options } = stage(() => ({ beat: async () => (failing ? down() : 'kept') }))
    const registration = await keepRegistered(options)
    await clock.advance(10_000)
    failing = false
    await clock.advance(21_000)
    expect(timesOf(said, 'beat')).toEqual([10_000, 11_000, 21_000, 31_000])
    await registration.deregister()
  })

  it('makes up for a state that could not be told, soon', async () => {
    let failing = true
    const { clock, said, options } = stage(() => ({ setState: async () => (failing ? down() : undefined) }))
    const registration = await keepRegistered(options)
    const error = await registration.setState('draining').catch((thrown: unknown) => thrown)
    expect(isFairleadError(error)).toBe(true)
    failing = false
    await clock.advance(1_000)
    expect(said).toEqual(['0 register ready', '0 state draining', '1000 state draining', '1000 beat draining'])
    await clock.advance(10_000)
    expect(timesOf(said, 'beat')).toEqual([1_000, 11_000])
    await registration.deregister()
  })

  it('asks the unhealthy four times as often, and tells when that changes', async () => {
    let well = false
    const { clock, said, events, options } = stage(undefined, { health: () => well })
    const registration = await keepRegistered(options)
    expect(said).toEqual(['0 register down'])
    await clock.advance(2_500)
    well = true
    await clock.advance(2_500)
    expect(said.slice(1)).toEqual(['5000 state ready', '5000 beat ready'])
    await clock.advance(10_000)
    expect(said.at(-1)).toBe('15000 beat ready')
    expect(events.filter(({ type }) => type === 'health-changed')).toMatchObject([{ healthy: true }])
    await registration.deregister()
  })

  it('beats no more often for that', async () => {
    let asked = 0
    const { clock, said, options } = stage(undefined, { health: () => ++asked < 0 })
    const registration = await keepRegistered(options)
    await clock.advance(40_000)
    expect(asked).toBe(17)
    expect(timesOf(said, 'beat')).toEqual([10_000, 20_000, 30_000, 40_000])
    await registration.deregister()
  })

  it('leaves out health where the state is not ready anyway', async () => {
    const { said, options } = stage(undefined, {
      health: () => false,
      endpoint: { id: 'one', addresses: [{ host: 'a', port: 1 }], state: 'starting' },
    })
    const registration = await keepRegistered(options)
    expect(said).toEqual(['0 register starting'])
    await registration.deregister()
  })

  it('lets go of everything when another process has the id', async () => {
    const { clock, said, events, options } = stage(() => ({ beat: async () => 'taken' }))
    const registration = await keepRegistered(options)
    const told: unknown[] = []
    registration.onLost((reason) => told.push(reason))
    await clock.advance(10_000)
    expect(said).toEqual(['0 register ready', '10000 beat ready', '10000 close'])
    expect(told).toMatchObject([{ code: 'CONFLICT' }])
    expect(types(events)).toEqual(['registered', 'registration-lost'])
    await registration.setState('draining')
    await registration.deregister()
    await clock.advance(60_000)
    expect(said.length).toBe(3)
    expect(clock.pending).toBe(0)
  })

  it('registers again where it is unknown, and says so', async () => {
    let known = false
    const { clock, said, events, options } = stage(() => ({ beat: async () => (known ? 'kept' : 'unknown') }))
    const registration = await keepRegistered(options)
    await clock.advance(10_000)
    known = true
    await clock.advance(10_000)
    expect(said).toEqual(['0 register ready', '10000 beat ready', '10000 register ready', '20000 beat ready'])
    expect(types(events)).toEqual(['registered', 'registered-again'])
    await registration.deregister()
  })

  it('tries to leave three times within the time of one call', async () => {
    let times = 0
    const { clock, said, events, options } = stage(() => ({
      deregister: async () => (++times < 3 ? down() : undefined),
    }))
    const registration = await keepRegistered(options)
    const leaving = registration.deregister()
    await clock.advance(1_000)
    await leaving
    expect(timesOf(said, 'deregister')).toEqual([0, 300, 600])
    expect(types(events)).toEqual(['registered', 'deregistered'])
  })

  it('leaves after the time of one call when nobody answers, and says that it did not work', async () => {
    const { clock, said, events, options } = stage(() => ({ deregister: never }))
    const registration = await keepRegistered(options)
    const leaving = registration.deregister()
    await clock.advance(2_000)
    await leaving
    expect(said).toEqual(['0 register ready', '0 deregister', '2000 close'])
    expect(types(events)).toEqual(['registered', 'registration-failed'])
    expect(clock.pending).toBe(0)
  })

  it('breaks off a sign of life to leave', async () => {
    const { clock, said, options } = stage(() => ({ beat: never }))
    const registration = await keepRegistered(options)
    await clock.advance(10_500)
    await registration.deregister()
    expect(said.slice(-2)).toEqual(['10500 deregister', '10500 close'])
    expect(clock.pending).toBe(0)
  })

  it.each([0, 1, 2, 3, 4, 5, 6, 7, 8])(
    'does not register again once it leaves, %i turns after the question was answered',
    async (turns) => {
      let answer: (said: 'unknown') => void = () => {}
      const { clock, said, options } = stage(() => ({ beat: () => new Promise((resolve) => (answer = resolve)) }))
      const registration = await keepRegistered(options)
      await clock.advance(10_000)
      answer('unknown')
      for (let turn = 0; turn < turns; turn++) await undefined
      const before = said.length
      await registration.deregister()
      expect(said.slice(before)).toEqual(['10000 deregister', '10000 close'])
    },
  )

  it.each(['register', 'setState'] as const)('does not break off what it writes: %s', async (what) => {
    let healthy = true
    const { clock, said, options } = stage(
      (time) => ({
        beat: async () => 'unknown',
        [what]: async (_: string, signal: AbortSignal) => {
          if (said.length > 1) await new Promise<void>((done) => void time.setTimer(done, 1_000, undefined))
          said.push(signal.aborted ? 'aborted' : `${time.now()} landed`)
        },
      }),
      { health: () => healthy },
    )
    const registration = await keepRegistered(options)
    healthy = what !== 'setState'
    await clock.advance(10_500)
    const leaving = registration.deregister()
    await clock.advance(5_000)
    await leaving
    expect(said.slice(-3)).toEqual(['11000 landed', '11000 deregister', '11000 close'])
    expect(clock.pending).toBe(0)
  })

  it('waits a moment only for a slow sign of life to tell a state, and makes up for it', async () => {
    let slow = true
    const { clock, said, events, options } = stage(() => ({ beat: () => (slow ? never() : Promise.resolve('kept')) }))
    const registration = await keepRegistered(options)
    await clock.advance(10_500)
    slow = false
    const told = registration.setState('draining')
    await clock.advance(200)
    await told
    expect(said.at(-1)).toBe('10700 state draining')
    await clock.advance(1_000)
    expect(said.at(-1)).toBe('11700 beat draining')
    expect(types(events)).toEqual(['registered'])
    await registration.deregister()
    expect(clock.pending).toBe(0)
  })

  it('does not wait for a health check to tell a state, nor take it for an answer', async () => {
    let asked = 0
    const { clock, said, events, options } = stage(undefined, { health: () => (asked++ === 0 ? true : never()) })
    const registration = await keepRegistered(options)
    await clock.advance(10_500)
    const told = registration.setState('draining')
    await clock.advance(200)
    await told
    expect(said).toEqual(['0 register ready', '10700 state draining'])
    expect(types(events)).toEqual(['registered'])
    await registration.deregister()
    expect(clock.pending).toBe(0)
  })

  it('does not wait for a health check to leave', async () => {
    let asked = 0
    const { clock, said, options } = stage(undefined, { health: () => (asked++ === 0 ? true : never()) })
    const registration = await keepRegistered(options)
    await clock.advance(10_100)
    await registration.deregister()
    expect(said).toEqual(['0 register ready', '10100 deregister', '10100 close'])
    expect(clock.pending).toBe(0)
  })

  it('does one thing at a time', async () => {
    let busy = 0
    let most = 0
    const work = async (clock: FakeClock): Promise<void> => {
      most = Math.max(most, ++busy)
      await new Promise<void>((done) => void clock.setTimer(done, 300, undefined))
      busy--
    }
    const { clock, said, options } = stage((time) => ({
      setState: () => work(time),
      beat: async () => {
        await work(time)
        return 'kept'
      },
      deregister: () => work(time),
    }))
    const registration = await keepRegistered(options)
    await clock.advance(10_100)
    const changes = [registration.setState('starting'), registration.setState('draining')]
    await clock.advance(5_000)
    await Promise.all(changes)
    const leaving = registration.deregister()
    await clock.advance(5_000)
    await leaving
    expect(most).toBe(1)
    expect(said.slice(-4, -2)).toEqual(['10300 state draining', '10600 state draining'])
  })

  it('runs outside the call that registered it', async () => {
    const storage = new AsyncLocalStorage<string>()
    const seen = new Set<string | undefined>()
    const see = (): true => {
      seen.add(storage.getStore())
      return true
    }
    const { clock, options } = stage(
      () => ({
        beat: async () => {
          see()
          return 'kept'
        },
      }),
      { health: see },
    )
    const registration = await storage.run('a call', () => keepRegistered(options))
    await clock.advance(10_000)
    expect(seen).toEqual(new Set([undefined]))
    await registration.deregister()
  })
})
