// Announcing and leaving, step by step, on a clock that is moved by hand.
import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { type AnnounceOptions, announceEndpoint } from '../../src/core/announcement.ts'
import type { Endpoint, RegisterOptions, Registrar } from '../../src/core/contracts/source.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import type { SignalSource } from '../../src/core/exit-signals.ts'
import { announce } from '../../src/discovery/announce.ts'
import { createError } from '../../src/errors/index.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'

interface Stage {
  readonly clock: FakeClock
  readonly said: string[]
  readonly events: PipelineEvent[]
  readonly process: EventEmitter & SignalSource
  readonly lose: (reason: unknown) => void
  /** What the registrar rejects with; undefined: it works. */
  fault: Error | undefined
  readonly given: (RegisterOptions | undefined)[]
  readonly options: AnnounceOptions
}

const endpoint: Endpoint = { id: 'one', addresses: [{ host: '10.0.0.1', port: 80 }] }
const refused = (): Error => createError({ code: 'CONNECTION_REFUSED', message: 'nobody listens' })

function stage(more: Partial<AnnounceOptions> = {}, delayMs = 0): Stage {
  const clock = fakeClock()
  const said: string[] = []
  const events: PipelineEvent[] = []
  const given: (RegisterOptions | undefined)[] = []
  const lost = new Set<(reason: unknown) => void>()
  const say = (what: string): void => void said.push(`${Math.round(clock.now())} ${what}`)
  const registrar = (name: string, staleMs: number): Registrar => ({
    name,
    staleMs,
    async register(service, announced, options) {
      say(`${name} register ${service} ${announced.id} ${announced.state}`)
      given.push(options)
      if (delayMs > 0) await new Promise<void>((done) => void clock.setTimer(done, delayMs, undefined))
      if (self.fault !== undefined) throw self.fault
      return {
        endpoint: announced,
        async setState(state) {
          say(`${name} ${state}`)
          if (self.fault !== undefined) throw self.fault
        },
        onLost(listener) {
          lost.add(listener)
          return () => lost.delete(listener)
        },
        async deregister() {
          say(`${name} deregister`)
        },
      }
    },
  })
  const self: Stage = {
    clock,
    said,
    events,
    given,
    process: new EventEmitter() as EventEmitter & SignalSource,
    lose: (reason) => {
      for (const listener of lost) listener(reason)
    },
    fault: undefined,
    options: {
      registrar: [registrar('a', 5_000), registrar('b', 8_000)],
      service: 'inventory',
      endpoint,
      clock,
      random: () => 1,
      onEvent: (event) => events.push(event),
      onDraining: () => say('draining'),
      closeServer: () => say('close'),
      ...more,
    },
  }
  return self
}

const begin = ({ options, process }: Stage): ReturnType<typeof announceEndpoint> => announceEndpoint(options, process)

describe('announce', () => {
  it('leaves in this order: told, waited for as long as clients may not know it, taken back, closed', async () => {
    const scene = stage({ health: () => true, ttlMs: 9_000 })
    const announcement = await begin(scene)
    expect(announcement.registered).toBe(true)
    expect(scene.given[0]).toMatchObject({ ttlMs: 9_000, health: expect.any(Function) })
    const leaving = announcement.leave()
    await scene.clock.advance(7_999)
    expect(scene.said).toEqual([
      '0 a register inventory one ready',
      '0 b register inventory one ready',
      '0 a draining',
      '0 b draining',
      '0 draining',
    ])
    await scene.clock.advance(1)
    await leaving
    expect(scene.said.slice(5)).toEqual(['8000 a deregister', '8000 b deregister', '8000 close'])
    expect(scene.clock.pending).toBe(0)
    expect(scene.process.listenerCount('SIGTERM')).toBe(0)
  })

  it('leaves once, and drains for as long as it is told to', async () => {
    const scene = stage({ drainMs: 100 })
    const announcement = await begin(scene)
    const leaving = Promise.all([announcement.leave(), announcement.leave()])
    await scene.clock.advance(100)
    await leaving
    await announcement.close()
    expect(scene.said.filter((each) => each.includes('deregister'))).toEqual(['100 a deregister', '100 b deregister'])
  })

  it('leaves at a signal, at once at a second one, and is no listener of signals afterwards', async () => {
    const scene = stage()
    await begin(scene)
    expect(scene.process.listenerCount('SIGTERM')).toBe(1)
    scene.process.emit('SIGTERM')
    await scene.clock.advance(1_000)
    expect(scene.said.at(-1)).toBe('0 draining')
    scene.process.emit('SIGTERM')
    await scene.clock.advance(0)
    expect(scene.said.slice(-3)).toEqual(['1000 a deregister', '1000 b deregister', '1000 close'])
    expect(scene.process.listenerCount('SIGTERM')).toBe(0)
    expect(scene.clock.pending).toBe(0)
  })

  it('listens to the signals that it is given, or to none', async () => {
    const scene = stage({ signals: ['SIGINT', 'SIGUSR2'], drainMs: 0 })
    await begin(scene)
    expect(scene.process.eventNames()).toEqual(['SIGINT', 'SIGUSR2'])
    scene.process.emit('SIGUSR2')
    await scene.clock.advance(0)
    expect(scene.said.at(-1)).toBe('0 close')
    const deaf = stage({ signals: [] })
    const announcement = await begin(deaf)
    expect(deaf.process.eventNames()).toEqual([])
    await announcement.close()
  })

  it('is starting while it warms up, and ready then', async () => {
    const scene: Stage = stage({
      warmUp: () => new Promise<void>((done) => void scene.clock.setTimer(done, 2_000, undefined)),
    })
    const announcing = begin(scene)
    await scene.clock.advance(2_000)
    const announcement = await announcing
    expect(scene.said).toEqual([
      '0 a register inventory one starting',
      '0 b register inventory one starting',
      '2000 a ready',
      '2000 b ready',
    ])
    await announcement.close()
  })

  it('rejects where the warm-up does, and takes everything back', async () => {
    const scene = stage({ warmUp: () => Promise.reject(new Error('cold')) })
    await expect(begin(scene)).rejects.toThrow('cold')
    expect(scene.said.slice(-2)).toEqual(['0 a deregister', '0 b deregister'])
    expect(scene.process.listenerCount('SIGTERM')).toBe(0)
    expect(scene.clock.pending).toBe(0)
  })

  it('leaves a state that is given to whoever gave it', async () => {
    const scene = stage({ endpoint: { ...endpoint, state: 'starting' }, warmUp: () => {} })
    const announcement = await begin(scene)
    expect(scene.said.at(-1)).toBe('0 b register inventory one starting')
    await announcement.setState('ready')
    expect(scene.said.slice(-2)).toEqual(['0 a ready', '0 b ready'])
    await announcement.close()
    await announcement.setState('ready')
    expect(scene.said.at(-1)).toBe('0 close')
  })

  it('runs when the registry is down at first, tries again more and more slowly, and says so', async () => {
    const scene = stage()
    scene.fault = refused()
    const announcement = await begin(scene)
    expect(announcement.registered).toBe(false)
    expect(scene.events).toMatchObject([
      { type: 'registration-failed', service: 'inventory', registrar: 'a', endpoint: 'one' },
      { type: 'registration-failed', registrar: 'b' },
    ])
    await scene.clock.advance(100_000)
    const tries = scene.said.filter((each) => each.includes('a register')).map((each) => Number(each.split(' ')[0]))
    expect(tries).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000])
    scene.fault = undefined
    await scene.clock.advance(30_000)
    expect(announcement.registered).toBe(true)
    await scene.clock.advance(100_000)
    expect(scene.said.length).toBe(18)
    await announcement.close()
    expect(scene.clock.pending).toBe(0)
  })

  it('keeps no process up by trying again', async () => {
    const scene = stage()
    scene.fault = refused()
    const announcement = await begin(scene)
    await scene.clock.runAll()
    expect(scene.said.length).toBe(2)
    await announcement.close()
  })

  it('tells a state that changed while it was being registered again', async () => {
    const scene = stage({ endpoint: { ...endpoint, state: 'starting' } }, 500)
    scene.fault = refused()
    const announcing = begin(scene)
    await scene.clock.advance(500)
    const announcement = await announcing
    scene.fault = undefined
    // The second try is under way.
    await scene.clock.advance(1_100)
    await announcement.setState('ready')
    await scene.clock.advance(400)
    expect(scene.said.slice(2)).toEqual([
      '1500 a register inventory one starting',
      '1500 b register inventory one starting',
      '2000 a ready',
      '2000 b ready',
    ])
    await announcement.close()
  })

  it('rejects where it has to be registered, and takes back what is', async () => {
    const scene = stage({ required: true })
    const [a] = scene.options.registrar as readonly Registrar[]
    const failing: Registrar = { name: 'c', staleMs: 0, register: () => Promise.reject(refused()) }
    await expect(
      announceEndpoint({ ...scene.options, registrar: [a as Registrar, failing] }, scene.process),
    ).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' })
    expect(scene.said).toEqual(['0 a register inventory one ready', '0 a deregister'])
    expect(scene.process.listenerCount('SIGTERM')).toBe(0)
    await scene.clock.advance(60_000)
    expect(scene.said.length).toBe(2)
  })

  it('rejects what no time can mend, also where it need not be registered', async () => {
    const scene = stage()
    scene.fault = createError({ code: 'INVALID_OPTIONS', message: 'no such weight' })
    await expect(begin(scene)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    expect(scene.clock.pending).toBe(0)
  })

  it.each([
    ['a code of another kind', createError({ code: 'INVALID_INPUT' }), 1],
    ['a bug of a token function', new TypeError('no token yet'), 1],
    ['options that are refused later', createError({ code: 'INVALID_OPTIONS' }), 3],
  ])('tries again after %s', async (_, fault, ms) => {
    const scene = stage()
    scene.fault = ms === 1 ? fault : refused()
    const announcement = await begin(scene)
    scene.fault = fault
    await scene.clock.advance(ms * 1_000)
    scene.fault = undefined
    await scene.clock.advance(10_000)
    expect(announcement.registered).toBe(true)
    await announcement.close()
  })

  it('asks clients to leave also while a registry cannot be told', async () => {
    const scene = stage()
    const [a] = scene.options.registrar as readonly Registrar[]
    const deaf: Registrar = {
      ...(a as Registrar),
      register: async (...given) => ({
        ...(await (a as Registrar).register(...given)),
        setState: () => new Promise(() => {}),
      }),
    }
    await announceEndpoint({ ...scene.options, registrar: deaf }, scene.process)
    scene.process.emit('SIGTERM')
    await scene.clock.advance(3_000)
    expect(scene.said.slice(1)).toEqual(['0 draining'])
    scene.process.emit('SIGTERM')
    await scene.clock.advance(1_000)
    expect(scene.said.slice(2)).toEqual(['4000 a deregister', '4000 close'])
    expect(scene.clock.pending).toBe(0)
  })

  it('does not wait for a registry that hangs at the second signal, and takes back what comes too late', async () => {
    const scene = stage({}, 20_000)
    const announcing = begin(scene)
    scene.process.emit('SIGTERM')
    await scene.clock.advance(2_000)
    expect(scene.said.length).toBe(2)
    scene.process.emit('SIGTERM')
    await scene.clock.advance(1_000)
    expect(scene.said.slice(2)).toEqual(['3000 draining', '3000 close'])
    await scene.clock.advance(20_000)
    await announcing
    expect(scene.said.slice(4)).toEqual(['20000 a deregister', '20000 b deregister'])
    expect(scene.clock.pending).toBe(0)
  })

  it('leaves at once when no registry has ever had it', async () => {
    const scene = stage()
    scene.fault = refused()
    const announcement = await begin(scene)
    await announcement.leave()
    expect(scene.said.slice(2)).toEqual(['0 draining', '0 close'])
    expect(scene.clock.pending).toBe(0)
  })

  it('takes back a registration that comes to be while it leaves', async () => {
    const scene = stage({}, 500)
    const announcing = begin(scene)
    await scene.clock.advance(100)
    scene.process.emit('SIGTERM')
    scene.process.emit('SIGTERM')
    await scene.clock.advance(500)
    await announcing
    expect(scene.said.slice(-3)).toEqual(['500 a deregister', '500 b deregister', '500 close'])
    expect(scene.clock.pending).toBe(0)
  })

  it('goes on to the end, whatever fails on the way', async () => {
    const scene = stage({
      drainMs: 0,
      onDraining: () => {
        throw new Error('no')
      },
      closeServer: () => Promise.reject(new Error('no')),
    })
    const announcement = await begin(scene)
    scene.fault = refused()
    await announcement.leave()
    expect(scene.said.slice(-2)).toEqual(['0 a deregister', '0 b deregister'])
  })

  it('gives up a server that does not close', async () => {
    const scene = stage({ closeServer: () => new Promise(() => {}), closeMs: 4_000, drainMs: 0 })
    const announcement = await begin(scene)
    const leaving = announcement.leave()
    await scene.clock.advance(4_000)
    await leaving
    expect(scene.clock.pending).toBe(0)
  })

  it('tells that another process has its id', async () => {
    const reasons: unknown[] = []
    const scene = stage({ onLost: (reason) => reasons.push(reason) })
    const announcement = await begin(scene)
    scene.lose('taken')
    expect(reasons).toEqual(['taken', 'taken'])
    await announcement.close()
  })

  it.each([
    [{ registrar: [] }, 'announce.registrar'],
    [{ registrar: {} as Registrar }, 'announce.registrar'],
    [{ service: '' }, 'announce.service'],
    [{ endpoint: { id: 'a', addresses: [] } }, 'announce.endpoint'],
    [{ drainMs: -1 }, 'announce.drainMs'],
    [{ ttlMs: 0 }, 'announce.ttlMs'],
    [{ closeMs: -1 }, 'announce.closeMs'],
    [{ signals: 'SIGTERM' as never }, 'announce.signals'],
    [{ health: true as never }, 'announce.health'],
    [{ required: 1 as never }, 'announce.required'],
    [{ closeServer: 1 as never }, 'announce.closeServer'],
    [{ drain: 1 } as never, 'announce.drain'],
  ])('refuses %o', async (wrong, option) => {
    const { options } = stage()
    await expect(announce({ ...options, ...(wrong as object) } as AnnounceOptions)).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      details: { option },
    })
  })
})
