// What every registrar does beside its protocol: signs of life with jitter, health, registering again, one thing at a time, a bounded end.
import { detached } from '../core/async-context.ts'
import type { Clock, Random, Timer } from '../core/clock.ts'
import type { Endpoint, RegisterOptions, Registration } from '../core/contracts/source.ts'
import type { RegistrationEvent } from '../core/discovery-events.ts'
import { createEvents, type EventListener, type Events } from '../core/events.ts'

/** As in `Endpoint.state`. */
export type RegisteredState = NonNullable<Endpoint['state']>

/** The protocol of one registration. Each call is given a signal that ends with its time; a rejection is a failure that is tried again. */
export interface RegistrationProtocol {
  /** Announces the endpoint with this state, also over an older entry of ours. */
  register(state: RegisteredState, signal: AbortSignal): Promise<void>
  /** A sign of life. `unknown`: the registry has no such entry (any more), register again. `taken`: the entry is somebody else's now. */
  beat(state: RegisteredState, signal: AbortSignal): Promise<'kept' | 'unknown' | 'taken'>
  /** Changes the state of the entry. */
  setState(state: RegisteredState, signal: AbortSignal): Promise<void>
  /** Takes the entry back. An entry that is gone already is no error. */
  deregister(signal: AbortSignal): Promise<void>
  /** Last of all: sockets and files of this registration. */
  close?(): Promise<void>
}

/** How a registration is kept. */
export interface KeepOptions extends RegisterOptions {
  readonly registrar: string
  readonly service: string
  readonly endpoint: Endpoint
  readonly protocol: RegistrationProtocol
  /** What the registry expects between two signs of life. They are sent after 0.8 to 1.0 of it. */
  readonly intervalMs: number
  /** How long one call of the protocol may take. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly onEvent?: EventListener | undefined
}

// After a failed sign of life: sooner than the interval, so that a lease of three intervals survives a registry that blinks.
const FIRST_RETRY_MS = 1_000

/** Registers, and keeps it so until `deregister`. Rejects when the first registration fails; nothing is left running then. */
export async function keepRegistered(options: KeepOptions): Promise<Registration> {
  const kept = new Kept(options)
  await kept.begin()
  return kept
}

class Kept implements Registration {
  readonly endpoint: Endpoint
  readonly #options: KeepOptions
  readonly #events: Events
  readonly #lost = new Set<(reason: unknown) => void>()
  #wanted: RegisteredState
  #told: RegisteredState
  #healthy = true
  #failures = 0
  #timer: Timer | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #current: AbortController | undefined
  #ending: Promise<void> | undefined
  #over = false

  constructor(options: KeepOptions) {
    this.endpoint = options.endpoint
    this.#options = options
    this.#events = createEvents(options.onEvent)
    this.#wanted = options.endpoint.state ?? 'ready'
    this.#told = this.#wanted
  }

  async begin(): Promise<void> {
    try {
      this.#healthy = await this.#askHealth()
      this.#told = this.#state()
      await this.#call((signal) => this.#options.protocol.register(this.#told, signal))
    } catch (error) {
      this.#over = true
      await this.#options.protocol.close?.()
      throw error
    }
    this.#emit({ type: 'registered' })
    this.#arm(this.#interval())
  }

  setState(state: RegisteredState): Promise<void> {
    this.#wanted = state
    return this.#inTurn(async () => {
      if (this.#over) return
      const next = this.#state()
      await this.#call((signal) => this.#options.protocol.setState(next, signal))
      this.#told = next
    })
  }

  onLost(listener: (reason: unknown) => void): () => void {
    this.#lost.add(listener)
    return () => this.#lost.delete(listener)
  }

  deregister(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    const wasLost = this.#over
    this.#over = true
    this.#disarm()
    this.#current?.abort(new Error('deregistering'))
    await this.#tail
    try {
      // Taken by somebody else: it is not ours to take back.
      if (!wasLost) {
        await this.#call((signal) => this.#options.protocol.deregister(signal))
        this.#emit({ type: 'deregistered' })
      }
    } catch (error) {
      // It cannot be reached: its lease will run out. Whoever leaves must not be held up.
      this.#emit({ type: 'registration-failed', error })
    } finally {
      await this.#options.protocol.close?.()
      this.#lost.clear()
    }
  }

  async #beat(): Promise<void> {
    if (this.#over) return
    const healthy = await this.#askHealth()
    if (healthy !== this.#healthy) {
      this.#healthy = healthy
      this.#emit({ type: 'health-changed', healthy })
    }
    if (this.#over) return
    try {
      const { protocol } = this.#options
      const state = this.#state()
      if (state !== this.#told) {
        await this.#call((signal) => protocol.setState(state, signal))
        this.#told = state
      }
      const answer = await this.#call((signal) => protocol.beat(state, signal))
      if (answer === 'taken') return this.#lose(new Error('another process announced itself under this id'))
      if (answer === 'unknown') {
        await this.#call((signal) => protocol.register(state, signal))
        this.#told = state
        this.#emit({ type: 'registered-again' })
      }
      this.#failures = 0
    } catch (error) {
      if (this.#over) return
      this.#failures++
      this.#emit({ type: 'heartbeat-failed', error })
    }
  }

  #lose(reason: unknown): void {
    this.#over = true
    this.#disarm()
    this.#emit({ type: 'registration-lost', error: reason })
    for (const listener of this.#lost) {
      try {
        listener(reason)
      } catch {
        // Not ours.
      }
    }
  }

  #state(): RegisteredState {
    return this.#healthy || this.#wanted !== 'ready' ? this.#wanted : 'down'
  }

  async #askHealth(): Promise<boolean> {
    const { health, intervalMs, clock } = this.#options
    if (health === undefined) return true
    let timer: Timer | undefined
    try {
      const asked = Promise.resolve(detached(health))
      const late = new Promise<boolean>((resolve) => {
        timer = clock.setTimer(() => resolve(false), intervalMs / 2, undefined)
        clock.unref(timer)
      })
      return (await Promise.race([asked, late])) === true
    } catch {
      return false
    } finally {
      if (timer !== undefined) clock.clearTimer(timer)
    }
  }

  // One call at a time, each with its own end.
  async #call<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    const abort = new AbortController()
    this.#current = abort
    const timer = clock.setTimer(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs, undefined)
    try {
      return await detached(() => work(abort.signal))
    } finally {
      clock.clearTimer(timer)
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => {})
    return turn
  }

  #interval(): number {
    const { intervalMs, random } = this.#options
    const ms = intervalMs * (0.8 + 0.2 * random())
    return this.#failures === 0
      ? ms
      : Math.min(ms, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10) * (0.5 + random() / 2))
  }

  #arm(ms: number): void {
    const { clock } = this.#options
    this.#timer = detached(() =>
      clock.setTimer(
        () => {
          void this.#inTurn(() => this.#beat()).then(() => {
            if (!this.#over) this.#arm(this.#interval())
          })
        },
        ms,
        undefined,
      ),
    )
    clock.unref(this.#timer)
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  #emit(
    event:
      | { readonly type: 'registered' | 'deregistered' | 'registered-again' }
      | { readonly type: 'registration-failed' | 'heartbeat-failed' | 'registration-lost'; readonly error: unknown }
      | { readonly type: 'health-changed'; readonly healthy: boolean },
  ): void {
    if (!this.#events.heard) return
    const { service, registrar, endpoint } = this.#options
    this.#events.emit({ service, registrar, endpoint: endpoint.id, ...event } as RegistrationEvent)
  }
}
