// What every registrar does beside its protocol: signs of life with jitter, health, registering again, one thing at a time, a bounded end.
import { detached } from '../core/async-context.ts'
import { type Clock, type Random, sleep, type Timer } from '../core/clock.ts'
import type { Endpoint, RegisterOptions, Registration } from '../core/contracts/source.ts'
import type { RegistrationEvent } from '../core/discovery-events.ts'
import { createEvents, type EventListener, type Events } from '../core/events.ts'
import { classify, createError } from '../errors/index.ts'

/** As in `Endpoint.state`. */
export type RegisteredState = NonNullable<Endpoint['state']>

/** The protocol of one registration. Each call is given a signal that ends with its time, and is not waited for beyond that; a rejection is a failure that is tried again. */
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
// Who is unhealthy is asked this many times as often, so that it is not kept out for a whole interval once it is well.
const UNHEALTHY_SHARE = 4
// A connection that breaks just when somebody leaves must not leave the entry behind for as long as its lease.
const LEAVE_TRIES = 3
const LEAVE_PAUSE_MS = 200
// A change of state waits so long for a sign of life under way: most end by then, and the registry does not hear both at once.
const YIELD_MS = 200
// Of the interval: from then on a sign of life is due.
const DUE_SHARE = 0.8

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
  /** A question or a sign of life under way: what may be broken off, since nothing comes to be by it. */
  #breakable: AbortController | undefined
  /** A change of state waits: whatever is under way for a sign of life ends as soon as it can. */
  #yielding = false
  #toldAt = 0
  #stopAsking: (() => void) | undefined
  #ending: Promise<void> | undefined
  #released: Promise<void> | undefined
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
      this.#healthy = (await this.#askHealth()) ?? false
      this.#told = this.#state()
      await this.#call((signal) => this.#options.protocol.register(this.#told, signal))
    } catch (error) {
      this.#over = true
      const failure = classify(error)
      // It may be there all the same, only the answer was lost: nobody would keep it, nor take it back.
      if (failure.effect !== 'none') await this.#leave().catch(ignore)
      await this.#release()
      throw failure
    }
    this.#toldAt = this.#options.clock.now()
    this.#emit({ type: 'registered' })
    this.#arm(this.#interval())
  }

  setState(state: RegisteredState): Promise<void> {
    if (!this.#over) this.#wanted = state
    const { clock } = this.#options
    const timer = clock.setTimer(() => this.#breakOff('a change of state goes first'), YIELD_MS, undefined)
    clock.unref(timer)
    return this.#inTurn(async () => {
      clock.clearTimer(timer)
      this.#yielding = false
      if (this.#over) return
      const next = this.#state()
      try {
        await this.#call((signal) => this.#options.protocol.setState(next, signal))
        this.#told = next
      } catch (error) {
        // The next sign of life makes up for it, and comes sooner.
        this.#failures++
        if (!this.#over) this.#arm(this.#interval())
        throw classify(error)
      }
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
    this.#breakOff('deregistering')
    // What is being written is waited for, as long as its time lasts: broken off, it might be carried out after the entry was taken back.
    await this.#tail
    try {
      // Taken by somebody else: it is not ours to take back.
      if (!wasLost) {
        await this.#leave()
        this.#emit({ type: 'deregistered' })
      }
    } catch (error) {
      // It cannot be reached: its lease will run out. Whoever leaves must not be held up.
      this.#emit({ type: 'registration-failed', error })
    } finally {
      this.#lost.clear()
      await this.#release()
    }
  }

  #breakOff(why: string): void {
    this.#yielding = true
    this.#stopAsking?.()
    this.#breakable?.abort(createError({ code: 'CANCELLED', message: why }))
  }

  async #leave(): Promise<void> {
    const { clock, random, timeoutMs, protocol } = this.#options
    const until = clock.now() + timeoutMs
    for (let tries = 1; ; tries++) {
      try {
        return await this.#call((signal) => protocol.deregister(signal), false, until - clock.now())
      } catch (error) {
        const pauseMs = LEAVE_PAUSE_MS * (0.5 + random())
        if (tries === LEAVE_TRIES || clock.now() + pauseMs >= until) throw error
        await sleep(clock, pauseMs)
      }
    }
  }

  // What it throws is nobody's: the registration is over all the same.
  #release(): Promise<void> {
    const { protocol } = this.#options
    this.#released ??= (async () => protocol.close?.())().catch(() => {})
    return this.#released
  }

  async #beat(): Promise<void> {
    if (this.#over) return
    const healthy = await this.#askHealth()
    if (this.#over) return
    if (healthy === undefined) return this.#postpone()
    if (healthy !== this.#healthy) {
      this.#healthy = healthy
      this.#emit({ type: 'health-changed', healthy })
    }
    try {
      const { protocol, clock, intervalMs } = this.#options
      const state = this.#state()
      if (state !== this.#told) {
        await this.#call((signal) => protocol.setState(state, signal))
        this.#told = state
        if (this.#over) return
        if (this.#yielding) return this.#postpone()
      } else if (this.#failures === 0 && clock.now() - this.#toldAt < intervalMs * DUE_SHARE - 1) {
        // Only health was asked more often.
        return
      }
      const answer = await this.#call((signal) => protocol.beat(state, signal), true)
      if (this.#over) return
      if (answer === 'taken') return this.#lose()
      if (answer === 'unknown') {
        await this.#call((signal) => protocol.register(state, signal))
        this.#told = state
        this.#emit({ type: 'registered-again' })
      }
      this.#failures = 0
      this.#toldAt = clock.now()
    } catch (error) {
      if (this.#over) return
      if (this.#yielding) return this.#postpone()
      this.#failures++
      this.#emit({ type: 'heartbeat-failed', error })
    }
  }

  // Made up for soon, as if it had failed; but nothing has.
  #postpone(): void {
    this.#failures++
  }

  #lose(): void {
    const { service, endpoint } = this.#options
    const reason = createError({
      code: 'CONFLICT',
      message: `another process has announced itself as ${endpoint.id} of ${service}`,
      service,
      endpoint: endpoint.id,
    })
    this.#over = true
    this.#disarm()
    this.#emit({ type: 'registration-lost', error: reason })
    void this.#release()
    for (const listener of [...this.#lost]) {
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

  // Undefined: broken off.
  async #askHealth(): Promise<boolean | undefined> {
    const { health, intervalMs, clock } = this.#options
    if (health === undefined) return true
    let timer: Timer | undefined
    try {
      const asked = Promise.resolve(detached(health))
      const late = new Promise<boolean | undefined>((resolve) => {
        timer = clock.setTimer(() => resolve(false), intervalMs / 2, undefined)
        clock.unref(timer)
        this.#stopAsking = () => resolve(undefined)
      })
      return await Promise.race([asked.then((well) => well === true), late])
    } catch {
      return false
    } finally {
      this.#stopAsking = undefined
      if (timer !== undefined) clock.clearTimer(timer)
    }
  }

  // One call at a time, each with its own end, also where the protocol does not heed the signal.
  async #call<T>(
    work: (signal: AbortSignal) => Promise<T>,
    breakable: boolean = false,
    withinMs: number = this.#options.timeoutMs,
  ): Promise<T> {
    const { clock, registrar } = this.#options
    const abort = new AbortController()
    this.#breakable = breakable ? abort : undefined
    const late = (): void =>
      abort.abort(
        createError({ code: 'ATTEMPT_TIMEOUT', message: `${registrar} gave no answer within ${withinMs} ms` }),
      )
    const timer = clock.setTimer(late, withinMs, undefined)
    const given = new Promise<never>((_, reject) => {
      abort.signal.addEventListener('abort', () => reject(abort.signal.reason), { once: true })
    })
    try {
      return await Promise.race([detached(async () => work(abort.signal)), given])
    } finally {
      clock.clearTimer(timer)
      this.#breakable = undefined
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work)
    this.#tail = turn.catch(() => {})
    return turn
  }

  #interval(): number {
    const { intervalMs, random } = this.#options
    const ms = (intervalMs / (this.#healthy ? 1 : UNHEALTHY_SHARE)) * (0.8 + 0.2 * random())
    if (this.#failures === 0) return ms
    return Math.min(ms, FIRST_RETRY_MS * 2 ** Math.min(this.#failures - 1, 10) * (0.5 + random() / 2))
  }

  #arm(ms: number): void {
    this.#disarm()
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

function ignore(): void {}
