// One limit for many processes: bottleneck's reservoir in Redis. The only file that knows bottleneck.
import type { Clock } from '../core/clock.ts'
import { lazy } from '../core/lazy.ts'
import { Kept } from './kept.ts'

/** What is asked of an ioredis client: that it can make another one like itself. The one that is given is not used otherwise. */
export interface RedisClient {
  duplicate(override: {
    readonly lazyConnect: boolean
    readonly enableOfflineQueue: boolean
    readonly autoResendUnfulfilledCommands: boolean
    readonly maxRetriesPerRequest: number
    readonly connectionName: string
  }): unknown
}

/** How a limit is shared. */
export interface SharedLimitOptions {
  /** An ioredis client (one server or Sentinel). fairlead opens a connection of its own like it, and closes that in `close()`; yours is left alone. */
  readonly client: RedisClient
  /** Name of the limit: all who give the same name share it. */
  readonly id: string
  /** An answer of Redis that takes longer counts as none, milliseconds. Default 250. */
  readonly timeoutMs?: number | undefined
  /**
   * What to do without Redis. `local`, the default: each process keeps to the limit for itself. `refuse`: refuses with `RATE_LIMITED`.
   * An event `rate-limit` tells when it begins and ends.
   */
  readonly whenUnavailable?: 'local' | 'refuse' | undefined
}

interface Limiter {
  incrementReservoir(count: number): Promise<number>
  updateSettings(options: Readonly<Record<string, unknown>>): Promise<unknown>
  disconnect(): unknown
}

interface Bottleneck {
  new (options: Readonly<Record<string, unknown>>): Limiter & { ready(): Promise<unknown> }
  readonly IORedisConnection: new (options: { readonly client: unknown }) => unknown
}

/** The part of a connection that is ours to end. */
interface Connection {
  duplicate: () => unknown
  disconnect(): void
}

/** A reservoir of one key, and the calls that wait for it to be asked. */
interface Reservoir {
  readonly limiter: Limiter
  readonly ready: Promise<unknown>
  waiting: Ask[]
  asking: boolean
  /** When the window that is counted now began, as far as this process saw. */
  began: number
}

interface Ask {
  readonly resolve: (granted: boolean) => void
  readonly reject: (error: unknown) => void
}

// Without Redis a call would wait for its timeout each time: after a failure it is left alone for so long.
const LEAVE_ALONE_MS = 1_000
const NEVER_MS = 2 ** 31 - 1
// Longer than any window that is in use: what is left in Redis of a key that is not asked for goes away by itself.
const KEEP_AT_LEAST_MS = 60_000

/** A fixed window: the reservoir is full again `perMs` after it was last filled. */
export class SharedLimit {
  readonly #options: SharedLimitOptions
  readonly #limit: number
  readonly #perMs: number
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #told: (state: 'shared' | 'unavailable', error: unknown) => void
  readonly #reservoirs: Kept<Reservoir>
  #connection: { readonly own: Connection; readonly bottleneck: Bottleneck; readonly shared: unknown } | undefined
  #leaveAloneUntil = -Infinity
  #available = true
  #closed = false

  constructor(
    options: SharedLimitOptions,
    rate: { readonly limit: number; readonly perMs: number; readonly maxKeys: number; readonly timeoutMs: number },
    clock: Clock,
    told: (state: 'shared' | 'unavailable', error: unknown) => void,
  ) {
    this.#options = options
    this.#limit = rate.limit
    this.#perMs = rate.perMs
    this.#timeoutMs = rate.timeoutMs
    this.#clock = clock
    this.#told = told
    this.#reservoirs = new Kept(rate.maxKeys)
  }

  get available(): boolean {
    return this.#available
  }

  get keys(): number {
    return this.#reservoirs.size
  }

  /** Whether one more is let in. Rejects where Redis cannot say. */
  take(key: string): Promise<boolean> {
    if (this.#clock.now() < this.#leaveAloneUntil) return Promise.reject(new Error('Redis did not answer a moment ago'))
    let reservoir: Reservoir
    try {
      reservoir = this.#reservoir(key)
    } catch (error) {
      this.#failed(error)
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      reservoir.waiting.push({ resolve, reject })
      if (!reservoir.asking) void this.#ask(key, reservoir)
    })
  }

  /** Milliseconds until the reservoir is full again, at most `perMs`. */
  untilFullMs(key: string): number {
    const left = (this.#reservoirs.get(key)?.began ?? -Infinity) + this.#perMs - this.#clock.now()
    return left > 0 ? left : this.#perMs
  }

  /** Ends our connection at once. */
  close(): void {
    this.#closed = true
    for (const { limiter } of this.#reservoirs.values()) limiter.disconnect()
    this.#connection?.own.disconnect()
    this.#connection = undefined
  }

  // One question at a time: those who come meanwhile share the next, so that a high rate costs few round trips.
  async #ask(key: string, reservoir: Reservoir): Promise<void> {
    reservoir.asking = true
    while (reservoir.waiting.length > 0) {
      const asked = reservoir.waiting
      reservoir.waiting = []
      try {
        const granted = await this.#inTime(this.#takeSome(reservoir, asked.length))
        this.#worked()
        for (const [index, { resolve }] of asked.entries()) resolve(index < granted)
      } catch (error) {
        // A limiter whose start failed never works again: the next question makes a new one.
        this.#drop(key, reservoir)
        this.#failed(error)
        for (const { reject } of [...asked, ...reservoir.waiting]) reject(error)
        reservoir.waiting = []
      }
    }
    reservoir.asking = false
  }

  // bottleneck takes first and fills up after, so what fills the reservoir is not counted: full means take again.
  async #takeSome(reservoir: Reservoir, count: number): Promise<number> {
    await reservoir.ready
    for (let round = 0; round < 3; round++) {
      const left = await reservoir.limiter.incrementReservoir(-count)
      if (typeof left !== 'number') throw new Error(`Redis answered ${String(left)} for a reservoir`)
      if (left !== this.#limit) return Math.max(0, Math.min(count, left + count))
      reservoir.began = this.#clock.now()
    }
    // Windows that are shorter than a round trip: each question meets a full one.
    return Math.min(count, this.#limit)
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = (ms: number): void => reject(new Error(`Redis took longer than ${ms} ms`))
      const timer = this.#clock.setTimer(late, this.#timeoutMs, this.#timeoutMs)
      const stop = (): void => this.#clock.clearTimer(timer)
      work.then(stop, stop)
      work.then(resolve, reject)
    })
  }

  #worked(): void {
    if (this.#available) return
    this.#available = true
    this.#told('shared', undefined)
  }

  #failed(error: unknown): void {
    this.#leaveAloneUntil = this.#clock.now() + LEAVE_ALONE_MS
    if (!this.#available || this.#closed) return
    this.#available = false
    this.#told('unavailable', error)
  }

  #reservoir(key: string): Reservoir {
    const known = this.#reservoirs.get(key)
    if (known !== undefined) return known
    const { bottleneck, shared } = this.#connect()
    const filled = { reservoirRefreshInterval: this.#perMs, reservoirRefreshAmount: this.#limit }
    const limiter = new bottleneck({
      ...filled,
      reservoir: this.#limit,
      connection: shared,
      id: key === '' ? this.#options.id : `${this.#options.id}:${key}`,
      timeout: Math.max(2 * this.#perMs, KEEP_AT_LEAST_MS),
      // It never queues, so it has nobody to wake up and need not be seen alive.
      heartbeatInterval: NEVER_MS,
    })
    // What is in Redis already has the limit of whoever came first: the one who starts last is right.
    const ready = limiter.ready().then(() => limiter.updateSettings(filled))
    ready.catch(() => {})
    const reservoir: Reservoir = { limiter, ready, waiting: [], asking: false, began: -Infinity }
    this.#reservoirs.set(key, reservoir)?.limiter.disconnect()
    return reservoir
  }

  #drop(key: string, reservoir: Reservoir): void {
    if (this.#reservoirs.get(key) === reservoir) this.#reservoirs.delete(key)
    reservoir.limiter.disconnect()
  }

  // A connection of our own: bottleneck adds commands and listeners to the one it is given, and commands must fail at once when Redis is gone.
  #connect(): { readonly bottleneck: Bottleneck; readonly shared: unknown } {
    if (this.#connection !== undefined) return this.#connection
    const bottleneck = lazy<Bottleneck>('bottleneck')
    const own = this.#options.client.duplicate({
      lazyConnect: false,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectionName: 'fairlead-rate-limit',
    }) as Connection
    // bottleneck subscribes to wake up its queues, and each process would hear each call of all others. We have no queues there.
    own.duplicate = () => DEAF
    this.#connection = { own, bottleneck, shared: new bottleneck.IORedisConnection({ client: own }) }
    return this.#connection
  }
}

const DEAF = Object.freeze({
  status: 'ready',
  setMaxListeners(): void {},
  on(): void {},
  once(): void {},
  subscribe: (_channel: string, done: () => void): void => done(),
  unsubscribe: (): Promise<void> => Promise.resolve(),
  disconnect(): void {},
  quit: (): Promise<void> => Promise.resolve(),
})
