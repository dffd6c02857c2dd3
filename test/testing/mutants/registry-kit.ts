// A registry in memory with everything that can happen to one, and a right source and a right registrar over it; broken ones are these with a few answers changed.
import type { Clock, Random } from '../../../src/core/clock.ts'
import { sleep } from '../../../src/core/clock.ts'
import type { Endpoint, Registrar, Source, SourceUpdate } from '../../../src/core/contracts/source.ts'
import { type Asked, type AskingOptions, keepAsking } from '../../../src/discovery/asking.ts'
import { readHost, readPort } from '../../../src/discovery/entry.ts'
import { type KeepOptions, keepRegistered, type RegistrationProtocol } from '../../../src/discovery/keep-registered.ts'
import { createError } from '../../../src/errors/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import type { RegistrarLab } from '../../../src/testing/registrar-suite/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import type { RegistryFaults, RegistryStart, SourceLab } from '../../../src/testing/source-suite/index.ts'

interface Entry {
  endpoint: Endpoint
  owner: string
  until: number
  ttlMs: number
  beats: number[]
}

type Services = Map<string, Map<string, Entry>>

/** What a registry answers. */
export interface Answer {
  readonly index: number
  /** Undefined: no such service. */
  readonly endpoints: readonly Endpoint[] | undefined
}

/** The server. What it is asked goes through its faults. */
export class MemoryRegistry {
  questions = 0
  open = 0
  readonly #clock: Clock
  #services: Services = new Map()
  #saved: Services = new Map()
  #savedIndex = 1
  #index = 1
  #state: 'up' | 'dead' | 'stuck' | 'silent' | 'garbled' = 'up'
  #slowMs = 0
  readonly #changed = new Set<() => void>()
  readonly #pending = new Set<(error: unknown) => void>()
  #resumed: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get dead(): boolean {
    return this.#state === 'dead'
  }

  /** A foreign hand. */
  announce(service: string, endpoints: readonly Endpoint[]): void {
    const entries = new Map<string, Entry>()
    for (const endpoint of endpoints)
      entries.set(endpoint.id, { endpoint, owner: 'foreign', until: Infinity, ttlMs: Infinity, beats: [] })
    this.#services.set(service, entries)
    this.#bump()
  }

  spoil(service: string): void {
    const endpoint = { id: 'spoilt', addresses: [{ host: 'not a host', port: 0 }] }
    this.#services
      .get(service)
      ?.set('spoilt', { endpoint, owner: 'foreign', until: Infinity, ttlMs: Infinity, beats: [] })
    this.#bump()
  }

  /** What anybody reads now, past all faults. */
  look(service: string): readonly Endpoint[] {
    const entries = [...(this.#services.get(service)?.values() ?? [])]
    return entries.filter(({ until }) => until > this.#clock.now()).map(({ endpoint }) => endpoint)
  }

  forget(service: string, id: string): void {
    this.#services.get(service)?.delete(id)
  }

  beats(service: string, id: string): readonly number[] {
    return this.#services.get(service)?.get(id)?.beats ?? []
  }

  /** Asks who is there; with an index above 0, once something is newer than it, or after 5 s. */
  read(service: string, index: number, signal: AbortSignal): Promise<Answer> {
    this.questions++
    return this.#through(signal, async () => {
      if (index > 0 && this.#index <= index) await this.#change(5_000, signal)
      if (this.#state === 'garbled') throw createError({ code: 'REPLY_INVALID', message: '<html>' })
      const known = this.#services.has(service)
      return { index: this.#index, endpoints: known ? this.look(service) : undefined }
    })
  }

  write<T>(signal: AbortSignal, work: (services: Services) => T): Promise<T> {
    return this.#through(signal, async () => work(this.#services))
  }

  readonly faults: Required<RegistryFaults> = {
    starts: ['kept', 'empty', 'saved'],
    kill: async () => {
      this.#state = 'dead'
      this.#break('ECONNRESET')
      return async (as: RegistryStart) => {
        if (as === 'empty') this.#services = new Map()
        if (as === 'saved') this.#services = copy(this.#saved)
        this.#index = as === 'saved' ? this.#savedIndex : as === 'empty' ? 1 : this.#index
        this.#state = 'up'
      }
    },
    save: async () => {
      this.#saved = copy(this.#services)
      this.#savedIndex = this.#index
    },
    pause: async () => {
      this.#state = 'stuck'
      return async () => {
        this.#state = 'up'
        for (const resume of this.#resumed.splice(0)) resume()
      }
    },
    freeze: async () => {
      this.#state = 'silent'
      return async () => {
        this.#state = 'up'
      }
    },
    cut: async () => this.#break('ECONNRESET'),
    slow: async (ms) => {
      this.#slowMs = ms
      return async () => {
        this.#slowMs = 0
      }
    },
    garble: async () => {
      this.#state = 'garbled'
      return async () => {
        this.#state = 'up'
      }
    },
  }

  #bump(): void {
    this.#index++
    for (const wake of this.#changed) wake()
  }

  #break(code: string): void {
    for (const reject of this.#pending)
      reject(createError({ code: 'CONNECTION_LOST', message: code, cause: Object.assign(new Error(code), { code }) }))
  }

  #change(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#clock.clearTimer(timer)
        this.#changed.delete(end)
        signal.removeEventListener('abort', end)
        resolve()
      }
      const timer = this.#clock.setTimer(end, ms, undefined)
      signal.addEventListener('abort', end)
      this.#changed.add(end)
    })
  }

  async #through<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    if (this.#state === 'dead') throw createError({ code: 'CONNECTION_REFUSED', message: 'nobody listens' })
    return new Promise<T>((resolve, reject) => {
      const over = (): void => {
        this.#pending.delete(fail)
        signal.removeEventListener('abort', abort)
      }
      const fail = (error: unknown): void => {
        over()
        reject(error)
      }
      const abort = (): void => fail(signal.reason)
      this.#pending.add(fail)
      signal.addEventListener('abort', abort, { once: true })
      const answer = async (): Promise<void> => {
        // What was under way when the connection fell silent is lost.
        const silentAtFirst = this.#state === 'silent'
        if (this.#slowMs > 0) await sleep(this.#clock, this.#slowMs)
        if (this.#state === 'stuck') await new Promise<void>((resume) => this.#resumed.push(resume))
        if (silentAtFirst) return
        const value = await work()
        if (this.#state === 'silent' || signal.aborted) return
        over()
        resolve(value)
      }
      answer().catch(fail)
    })
  }
}

const copy = (services: Services): Services =>
  new Map([...services].map(([service, entries]) => [service, new Map(entries)] as const))

/** Where a source or registrar is made. */
export interface World {
  readonly registry: MemoryRegistry
  readonly clock: FakeClock
  readonly random: Random
}

/** What a broken source does otherwise. */
export interface SourceTweaks {
  /** `poll` every two seconds, or `wait` at the registry for changes. */
  readonly mode?: 'poll' | 'wait' | undefined
  readonly everyMs?: number | undefined
  readonly timeoutMs?: number | undefined
  /** Keeps its place after errors and when the registry goes back. */
  readonly keepsIndex?: boolean | undefined
  /** Makes something else of the entries of a service. */
  readonly entries?: ((endpoints: readonly Endpoint[], service: string) => readonly Endpoint[]) | undefined
  /** Makes something else of an answer. */
  readonly word?: ((update: Answered, service: string) => Answered) | undefined
  /** Makes something else of a failure, or throws it. */
  readonly failure?: ((error: unknown) => Asked) | undefined
  readonly loop?: Partial<AskingOptions> | undefined
  readonly closes?: false | undefined
  /** What is no endpoint: `given` as it is, `fails` everything, left out `silently`. */
  readonly bad?: 'given' | 'fails' | 'silently' | undefined
}

/** An update that is no error. */
export type Answered = Exclude<SourceUpdate, { readonly type: 'error' }>

const isGood = (endpoint: Endpoint): boolean =>
  endpoint.addresses.length > 0 &&
  endpoint.addresses.every(({ host, port }) => readHost(host) !== undefined && readPort(port) !== undefined)

/** The right source, unless it is told otherwise. */
export function memorySource({ registry, clock, random }: World, tweaks: SourceTweaks = {}): Source {
  const { mode = 'poll', everyMs = 2_000, timeoutMs = 3_000, bad } = tweaks
  return {
    name: 'memory',
    remote: true,
    watch(service, sink) {
      registry.open++
      let index = 0
      const once = async (signal: AbortSignal): Promise<Asked> => {
        const answer = await limited(clock, timeoutMs + (index > 0 ? 5_000 : 0), signal, (limit) =>
          registry.read(service, index, limit),
        )
        if (tweaks.keepsIndex === true && answer.index <= index) return { update: undefined, againMs: 0 }
        if (mode === 'wait') index = answer.index < index ? 0 : answer.index
        const { endpoints } = answer
        const good = bad === 'given' ? endpoints : endpoints?.filter(isGood)
        const left = (endpoints?.length ?? 0) - (good?.length ?? 0)
        if (left > 0 && bad === 'fails') throw createError({ code: 'REPLY_INVALID', message: 'a bad entry' })
        const update: Answered =
          good === undefined
            ? { type: 'absent' }
            : {
                type: 'snapshot',
                endpoints: tweaks.entries?.(good, service) ?? good,
                ...(left > 0 && bad !== 'silently' ? { note: `${left} left out` } : {}),
              }
        return { update: tweaks.word?.(update, service) ?? update, againMs: mode === 'wait' ? 0 : everyMs }
      }
      return keepAsking({
        clock,
        random,
        sink,
        interrupt: mode === 'wait',
        leastMs: 500,
        mostMs: 4_000,
        async ask(signal) {
          try {
            return await once(signal)
          } catch (error) {
            if (tweaks.keepsIndex !== true) index = 0
            if (tweaks.failure === undefined || signal.aborted) throw error
            return tweaks.failure(error)
          }
        },
        end: () => {
          if (tweaks.closes !== false) registry.open--
        },
        ...tweaks.loop,
      })
    },
  }
}

async function limited<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (ms === Infinity) return work(signal)
  const limit = new AbortController()
  const abort = (): void => limit.abort(signal.reason)
  signal.addEventListener('abort', abort)
  const timer = clock.setTimer(
    () => limit.abort(createError({ code: 'ATTEMPT_TIMEOUT', message: `no answer within ${ms} ms` })),
    ms,
    undefined,
  )
  try {
    return await work(limit.signal)
  } finally {
    clock.clearTimer(timer)
    signal.removeEventListener('abort', abort)
  }
}

/** Makes a source in a world. */
export type MakeSource = (world: World) => Source

/** A broken source. */
export interface SourceMutant {
  readonly what: string
  /** The cases that have to find it, as the suite names them. */
  readonly caught: readonly string[]
  readonly make: MakeSource
}

/** A lab of sources over one registry in memory, on a fake clock. */
export function memorySourceLab(make: MakeSource = memorySource, mode: 'poll' | 'wait' = 'poll', seed = 7): SourceLab {
  const clock = fakeClock()
  const registry = new MemoryRegistry(clock)
  const random = seededRandom(seed)
  return {
    traits: {
      unknown: 'absent',
      emptied: 'empty',
      states: ['ready', 'starting', 'draining', 'down'],
      weights: true,
      priorities: true,
      zones: true,
      metadata: true,
      namedPorts: true,
      seesChangeWithinMs: mode === 'poll' ? 2_100 : 200,
      seesSilenceWithinMs: 9_000,
      recoversWithinMs: 13_000,
      refreshes: mode === 'poll',
    },
    source: () => make({ registry, clock, random }),
    announce: async (service, endpoints) => registry.announce(service, endpoints),
    spoil: async (service) => registry.spoil(service),
    faults: registry.faults,
    openThings: () => registry.open,
    questions: () => registry.questions,
    clock,
    pass: (ms) => clock.advance(ms),
    timers: () => clock.pending,
    patienceMs: 50,
  }
}

/** What a broken registrar does otherwise. */
export interface RegistrarTweaks {
  readonly protocol?:
    | ((real: RegistrationProtocol, world: World, service: string, endpoint: Endpoint) => Partial<RegistrationProtocol>)
    | undefined
  readonly keep?: Partial<KeepOptions> | undefined
}

let owners = 0

/** The right registrar, unless it is told otherwise. */
export function memoryRegistrar(world: World, tweaks: RegistrarTweaks = {}): Registrar {
  const { registry, clock, random } = world
  return {
    name: 'memory',
    staleMs: 500,
    register(service, endpoint, { ttlMs = 3_000, health } = {}) {
      const owner = `process ${++owners}`
      registry.open++
      const real: RegistrationProtocol = {
        register: (state, signal) =>
          registry.write(signal, (services) => {
            const entries = services.get(service) ?? new Map<string, Entry>()
            services.set(service, entries)
            const beats = entries.get(endpoint.id)?.beats ?? []
            entries.set(endpoint.id, {
              endpoint: { ...endpoint, state },
              owner,
              until: clock.now() + ttlMs,
              ttlMs,
              beats,
            })
          }),
        beat: (_, signal) =>
          registry.write(signal, (services) => {
            const entry = services.get(service)?.get(endpoint.id)
            if (entry === undefined || entry.until <= clock.now()) return 'unknown'
            if (entry.owner !== owner) return 'taken'
            entry.until = clock.now() + ttlMs
            entry.beats.push(clock.now())
            return 'kept'
          }),
        setState: (state, signal) =>
          registry.write(signal, (services) => {
            const entry = services.get(service)?.get(endpoint.id)
            if (entry?.owner === owner) entry.endpoint = { ...entry.endpoint, state }
          }),
        deregister: (signal) =>
          registry.write(signal, (services) => {
            if (services.get(service)?.get(endpoint.id)?.owner === owner) services.get(service)?.delete(endpoint.id)
          }),
        async close() {
          registry.open--
        },
      }
      return keepRegistered({
        registrar: 'memory',
        service,
        endpoint,
        protocol: { ...real, ...tweaks.protocol?.(real, world, service, endpoint) },
        intervalMs: ttlMs / 3,
        timeoutMs: 1_000,
        clock,
        random,
        health,
        ...tweaks.keep,
      })
    },
  }
}

/** Makes a registrar in a world. */
export type MakeRegistrar = (world: World) => Registrar

/** A broken registrar. */
export interface RegistrarMutant {
  readonly what: string
  readonly caught: readonly string[]
  readonly make: MakeRegistrar
}

/** A lab of registrars over one registry in memory, on a fake clock. */
export function memoryRegistrarLab(make: MakeRegistrar = memoryRegistrar, seed = 7): RegistrarLab {
  const clock = fakeClock()
  const registry = new MemoryRegistry(clock)
  const random = seededRandom(seed)
  return {
    traits: {
      states: ['ready', 'starting', 'draining', 'down'],
      weights: true,
      priorities: true,
      zones: true,
      metadata: true,
      namedPorts: true,
      ttlMs: 3_000,
      noticesWithinMs: 1_000,
      givesUpWithinMs: 2_500,
    },
    registrar: (own) => make({ registry, clock: own === undefined ? clock : { ...clock, ...own }, random }),
    read: async (service) => registry.look(service),
    expire: async (service, id) => registry.forget(service, id),
    faults: registry.faults,
    openThings: () => registry.open,
    beats: (service, id) => registry.beats(service, id),
    clock,
    pass: (ms) => clock.advance(ms),
    timers: () => clock.pending,
    patienceMs: 50,
  }
}
