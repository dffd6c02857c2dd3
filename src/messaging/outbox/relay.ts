// Takes messages from an outbox to a transport. This is its life: starting, partitions, closing; what it does in between is in loop.ts.
import { detached } from '../../core/async-context.ts'
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { closeWithin } from '../../core/lifecycle.ts'
import type { RelayState } from '../../core/message-events.ts'
import { endsWithin } from '../../core/patience.ts'
import { uuidV7 } from '../../core/uuid.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { requireCapabilities } from '../capabilities.ts'
import { within } from './asking.ts'
import { Loop } from './loop.ts'
import { type RelaySettings, relaySettings } from './relay-options.ts'
import { RelayTeller } from './relay-telling.ts'
import { Tenure } from './tenure.ts'
import type { Relay, RelayHealth, RelayOptions } from './types.ts'
import { Alarm } from './waits.ts'

/**
 * Makes a relay; it takes nothing before `start()`. Any number of relays may serve one outbox: they share its partitions, and when one dies
 * the others have its share within `leaseMs`.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const relay = createRelay({ outbox, transport })
 * await relay.start()
 */
export function createRelay(options: RelayOptions): Relay {
  return new Runtime(relaySettings(options))
}

class Runtime implements Relay {
  readonly #settings: RelaySettings
  readonly #tenure: Tenure
  readonly #renewal: Alarm
  #name: string
  #teller: RelayTeller
  #loop: Loop | undefined
  #state: RelayState
  #since: number
  #lastError: FairleadError | undefined
  #published: number
  #leasing: Promise<void> | undefined
  /** The store may know it. */
  #asked: boolean
  /** Partitions beyond its share are being given back. */
  #giving: Promise<void> | undefined
  /** What a start has set up, and an end takes down. */
  #ends: (() => unknown)[]
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(settings: RelaySettings) {
    const { world, outbox, name } = settings
    this.#settings = settings
    this.#name = name ?? ''
    this.#teller = new RelayTeller(world.events, outbox.source, this.#name)
    this.#tenure = new Tenure()
    this.#renewal = new Alarm(world.clock, () => void this.#renew())
    this.#loop = undefined
    this.#state = 'idle'
    this.#since = world.clock.wallNow()
    this.#lastError = undefined
    this.#published = 0
    this.#leasing = undefined
    this.#asked = false
    this.#giving = undefined
    this.#ends = []
    this.#starting = undefined
    this.#closing = undefined
  }

  start(): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#shutdown())
    // What runs here for months must not belong to the request, or the test, that happened to start it.
    this.#starting ??= detached(() => this.#start())
    return this.#starting
  }

  async #start(): Promise<void> {
    const settings = this.#settings
    const { name, world, outbox } = settings
    if (name === undefined) {
      this.#name = uuidV7(world.clock)
      this.#teller = new RelayTeller(world.events, outbox.source, this.#name)
    }
    try {
      await this.#check(settings)
      if (this.#closing !== undefined) throw this.#shutdown()
      await this.#lease()
      if (this.#closing !== undefined) throw this.#shutdown()
    } catch (error) {
      this.#starting = undefined
      const known = this.#failed(error)
      if (this.#closing === undefined) this.#become('idle', known)
      throw known
    }
    const loop = new Loop(settings, this.#tenure, this.#teller, {
      changed: (backingOff, error) => {
        if (this.#closing === undefined) this.#become(backingOff ? 'backing-off' : 'running', error)
      },
      failed: (error) => this.#failed(error),
      published: (count) => {
        this.#published += count
      },
      // Somebody else may have a partition of ours.
      doubted: () => void this.#renew(),
      idle: () => this.#giveBack(),
    })
    this.#loop = loop
    this.#ends.push(settings.outbox.onAppended(() => detached(() => loop.wake('news'))))
    this.#become('running')
    if (settings.listen) void this.#listen(loop)
    loop.start()
  }

  async #check({ transport, channels, outbox }: RelaySettings): Promise<void> {
    const modes = [...new Set(channels.map(({ kind }) => kind))]
    requireCapabilities(transport, {
      ...(modes.length === 0 ? {} : { modes }),
      payloadBytes: outbox.maxPayloadBytes,
    })
    if (channels.length > 0) await transport.prepare(channels, 'check')
  }

  async #listen(loop: Loop): Promise<void> {
    try {
      const stop = await this.#settings.store.listen?.(() => detached(() => loop.wake('news')))
      if (stop === undefined) return
      const ended = (): void => void Promise.resolve(stop()).catch((error) => this.#storeFailed('listen', error))
      if (this.#closing === undefined) this.#ends.push(ended)
      else ended()
    } catch (error) {
      // It finds what there is when it looks the next time.
      this.#storeFailed('listen', error)
    }
  }

  // ---- partitions ----

  async #renew(): Promise<void> {
    // Asked for in the middle of a question, it is asked again afterwards: the answer may be older than the doubt.
    if (this.#leasing !== undefined) return this.#renewal.atLatest(this.#settings.leaseMs / 10)
    if (this.#closing !== undefined) return
    try {
      await this.#lease()
    } catch (error) {
      // With jitter: all relays of a database that comes back.
      const waitMs = (this.#settings.leaseMs / 10) * (0.5 + this.#settings.world.random())
      this.#storeFailed('lease', error, waitMs)
      if (this.#closing === undefined) this.#renewal.atLatest(waitMs)
    }
  }

  async #lease(): Promise<void> {
    const leasing = this.#askForLeases()
    this.#leasing = leasing.catch(() => {})
    try {
      await leasing
    } finally {
      this.#leasing = undefined
    }
    this.#giveBack()
  }

  async #askForLeases(): Promise<void> {
    const { store, leaseMs, world } = this.#settings
    const { clock } = world
    // The answer would not say whether it is from before.
    if (this.#giving !== undefined) await this.#giving
    const askedAt = clock.now()
    this.#asked = true
    const leases = await within(() => store.lease(this.#name, leaseMs), leaseMs / 3, clock)
    const { gained, lost, leaving } = this.#tenure.update(leases, askedAt, leaseMs)
    const gone = lost.length + leaving.length
    if (gained.length + gone > 0) this.#teller.leases(this.#tenure.leases.length, gained.length, gone)
    if (this.#closing !== undefined) return
    this.#renewal.atLatest(Math.max(0, askedAt + leaseMs / 3 - clock.now()))
    this.#loop?.leased(gained.length > 0, lost, leaving)
  }

  // Those beyond its share, as soon as all that was sent of them is settled: the next relay would send it again.
  #giveBack(): void {
    const { store, leaseMs, world } = this.#settings
    if (this.#tenure.leaving.size === 0 || this.#leasing !== undefined || this.#giving !== undefined) return
    if (this.#closing !== undefined) return
    const leases = [...this.#tenure.leaving].filter(({ partition }) => this.#loop?.isInHand(partition) !== true)
    if (leases.length === 0) return
    this.#tenure.gaveBack(leases)
    this.#giving = within(() => store.release(leases), leaseMs / 3, world.clock)
      // They run out by themselves.
      .catch((error) => this.#storeFailed('release', error))
      .then(() => {
        this.#giving = undefined
        this.#giveBack()
      })
  }

  // ---- outside ----

  wake(): void {
    detached(() => this.#loop?.wake('now'))
  }

  health(): RelayHealth {
    return {
      state: this.#state,
      since: this.#since,
      partitions: this.#tenure.leases.length,
      inFlight: this.#loop?.inFlight ?? 0,
      published: this.#published,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    }
  }

  close(options: { readonly withinMs?: number | undefined } = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing
    return closeWithin(options, 10_000, (withinMs) => {
      this.#closing = detached(() => this.#close(withinMs))
      return this.#closing
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // Nothing is read any more; what is out ends and is settled; then the partitions go to whoever asks next.
  async #close(withinMs: number): Promise<void> {
    const { clock } = this.#settings.world
    const until = clock.now() + withinMs
    // By then `#closing` is set.
    await undefined
    this.#become('closing')
    this.#renewal.clear()
    for (const end of this.#ends.splice(0)) end()
    const reserveMs = Math.min(withinMs / 4, 1_000)
    const loop = this.#loop
    if (loop !== undefined) {
      const drained = loop.drain()
      if (!(await this.#ended(drained, until - 2 * reserveMs - clock.now()))) {
        loop.abort(this.#shutdown())
        await this.#ended(drained, until - reserveMs - clock.now())
      }
      loop.stop()
    }
    // An answer that comes after the partitions are given back would take them again.
    if (this.#leasing !== undefined) await this.#ended(this.#leasing, until - reserveMs - clock.now())
    if (this.#giving !== undefined) await this.#ended(this.#giving, until - reserveMs - clock.now())
    await this.#release(Math.max(until - clock.now(), 1))
    this.#become('closed')
  }

  async #release(ms: number): Promise<void> {
    const { store, world } = this.#settings
    // It was never started, or asked for nothing.
    if (!this.#asked) return
    const leases = [...this.#tenure.leases, ...this.#tenure.leaving]
    try {
      await within(() => store.release(leases, this.#name), ms, world.clock)
      this.#tenure.update([], world.clock.now(), 0)
    } catch (error) {
      // They run out by themselves.
      this.#storeFailed('release', error)
    }
  }

  async #ended(work: Promise<void>, ms: number): Promise<boolean> {
    return await endsWithin(work, Math.max(ms, 1), this.#settings.world.clock)
  }

  #storeFailed(during: 'lease' | 'release' | 'listen', error: unknown, waitMs?: number): void {
    this.#teller.storeFailed(during, this.#failed(error), waitMs)
  }

  #failed(error: unknown): FairleadError {
    const known = classify(error)
    this.#lastError = known
    return known
  }

  #become(state: RelayState, error?: FairleadError): void {
    const was = this.#state
    if (was === state) return
    this.#state = state
    this.#since = this.#settings.world.clock.wallNow()
    this.#teller.state(state, was, error)
  }

  #shutdown(): FairleadError {
    return createError({ code: 'SHUTDOWN', message: 'the relay is closed' })
  }

  [DESCRIBE](): Description {
    const { outbox, transport, name, batch, concurrency, leaseMs, sendTimeoutMs } = this.#settings
    const { poll, listen, maxAttempts, backoff, onDead, purgeAfterMs, channels } = this.#settings
    return {
      what: 'relay',
      name: name ?? this.#name,
      outbox: outbox.source,
      store: outbox.place.name,
      transport: transport.name,
      channels,
      options: {
        batch,
        concurrency,
        leaseMs,
        sendTimeoutMs,
        poll,
        listen,
        maxAttempts,
        backoff,
        onDead,
        purgeAfterMs,
      },
      layers: [],
    }
  }
}
