// Announcing a service and leaving without a failed call. Here and not in a pillar: `announce` of discovery and `listen` of the server adapter share it.
import { isFairleadError } from '../errors/index.ts'
import { detached } from './async-context.ts'
import { type Clock, type Random, sleep, systemClock, systemRandom } from './clock.ts'
import type { Endpoint, RegisterOptions, Registrar, Registration } from './contracts/source.ts'
import { createEvents, type EventListener } from './events.ts'
import { onExitSignals, type SignalSource } from './exit-signals.ts'
import type { Closable } from './lifecycle.ts'
import { durationOption, invalidOption, knownOptions } from './options.ts'
import { endsWithin } from './patience.ts'

/** How a service is announced, and how it leaves. Durations are milliseconds. */
export interface AnnouncingOptions {
  /** Where it is announced: at one registry, or at several. */
  readonly registrar: Registrar | readonly Registrar[]
  /** Asked before each sign of life: false, a rejection or no answer in time takes the endpoint out until it is true again. */
  readonly health?: RegisterOptions['health']
  /** How long a registry keeps the entry without a sign of life. Default: the registry's own custom. */
  readonly ttlMs?: number | undefined
  /** Runs between `starting` and `ready`: fill caches, open connections. Default: ready at once. What it rejects with, `announce` rejects with. */
  readonly warmUp?: (() => unknown) | undefined
  /**
   * What a registry that cannot be reached at first does: `false` leaves the service running, tries again by itself with growing pauses, and tells (`registration-failed`);
   * `true` rejects. Default false: a registry that is down for a minute must not keep a service from starting.
   */
  readonly required?: boolean | undefined
  /** How long to go on answering between `draining` and the end, until clients can have seen it. Default: the longest `staleMs` of the registrars. */
  readonly drainMs?: number | undefined
  /** Signals of the process at which it leaves by itself; a second one leaves out the wait. Default `['SIGTERM']`; an empty list: `leave` is called by you. */
  readonly signals?: readonly NodeJS.Signals[] | undefined
  /** Another process has announced itself under the same id: there is nothing left to keep. The server goes on. */
  readonly onLost?: ((reason: unknown) => void) | undefined
  /** Hears of registrations that failed. What a registration tells later, its registrar tells. */
  readonly onEvent?: EventListener | undefined
  /** Time, for tests. */
  readonly clock?: Clock | undefined
  /** Chance, for tests. */
  readonly random?: Random | undefined
  /** Ids. It has no use for it: it is taken so that what others take can be spread. */
  readonly newId?: (() => string) | undefined
}

/** Options of `announce`. */
export interface AnnounceOptions extends AnnouncingOptions {
  readonly service: string
  /** Its `state` is `starting` and `ready` by itself, unless it is given: then it is yours to change. */
  readonly endpoint: Endpoint
  /** Called while draining is told, before the wait: ask clients to close their connections from now on. */
  readonly onDraining?: (() => unknown) | undefined
  /** Last of all: finish what is in flight, and close. `() => new Promise((closed) => server.close(closed))` */
  readonly closeServer?: (() => unknown) | undefined
  /** How long `closeServer` is waited for. Default 30000. */
  readonly closeMs?: number | undefined
}

/** A service that is announced. */
export interface Announcement extends Closable {
  readonly endpoint: Endpoint
  /** Whether every registry has it. */
  readonly registered: boolean
  /** For an endpoint whose state is yours to change. Rejects when a registry cannot be told; it is told later by itself. */
  setState(state: 'starting' | 'ready' | 'draining' | 'down'): Promise<void>
  /** Tells that it is draining, waits until clients can have seen it, deregisters, finishes what is in flight and closes. Never rejects; once. */
  leave(): Promise<void>
  /** The same without the wait; also while `leave` waits. */
  close(): Promise<void>
}

/** What `AnnouncingOptions` has, for checking. */
export const ANNOUNCING_OPTIONS: readonly string[] = [
  'registrar',
  'health',
  'ttlMs',
  'warmUp',
  'required',
  'drainMs',
  'signals',
  'onLost',
  'onEvent',
  'clock',
  'random',
  'newId',
]

const OPTIONS = [...ANNOUNCING_OPTIONS, 'service', 'endpoint', 'onDraining', 'closeServer', 'closeMs']
const LEAST_PAUSE_MS = 1_000
const MOST_PAUSE_MS = 30_000
// What is under way at a registry is waited for so long once it hurries: enough for one that answers.
const HURRY_MS = 1_000

/** Checks what can be checked before anything is opened. @throws FairleadError INVALID_OPTIONS */
export function checkAnnouncing(what: string, options: AnnouncingOptions): readonly Registrar[] {
  const { registrar, health, warmUp, required, signals, onLost, drainMs, ttlMs } = options
  const registrars = (Array.isArray(registrar) ? registrar : [registrar]) as readonly Registrar[]
  if (registrars.length === 0 || registrars.some((each) => typeof each?.register !== 'function'))
    throw invalidOption(`${what}.registrar`, registrar, 'give a registrar (eurekaRegistrar, ...) or a list of them')
  for (const [name, given] of Object.entries({ health, warmUp, onLost }))
    if (given !== undefined && typeof given !== 'function')
      throw invalidOption(`${what}.${name}`, given, 'give a function')
  if (required !== undefined && typeof required !== 'boolean')
    throw invalidOption(`${what}.required`, required, 'give true or false')
  if (signals !== undefined && !(Array.isArray(signals) && signals.every((each) => /^SIG[A-Z0-9]+$/.test(each))))
    throw invalidOption(`${what}.signals`, signals, "give names of signals: ['SIGTERM', 'SIGINT']")
  durationOption(`${what}.drainMs`, drainMs, 0, 0)
  durationOption(`${what}.ttlMs`, ttlMs, 1)
  return registrars
}

/** Announces an endpoint; see `announce` of discovery. */
export async function announceEndpoint(
  options: AnnounceOptions,
  process?: SignalSource | undefined,
): Promise<Announcement> {
  knownOptions('announce', options, OPTIONS)
  const registrars = checkAnnouncing('announce', options)
  const { service, endpoint, closeServer, onDraining } = options
  if (typeof service !== 'string' || service === '') throw invalidOption('announce.service', service, 'give a name')
  if (typeof endpoint?.id !== 'string' || !Array.isArray(endpoint.addresses) || endpoint.addresses.length === 0)
    throw invalidOption('announce.endpoint', endpoint, 'give an id and at least one address: { host, port }')
  for (const [name, given] of Object.entries({ closeServer, onDraining }))
    if (given !== undefined && typeof given !== 'function')
      throw invalidOption(`announce.${name}`, given, 'give a function')
  durationOption('announce.closeMs', options.closeMs, 0)
  const announced = new Announced(options, registrars, process)
  await announced.begin()
  return announced
}

class Announced implements Announcement {
  readonly endpoint: Endpoint
  readonly #options: AnnounceOptions
  readonly #registrars: readonly Registrar[]
  readonly #registrations = new Map<Registrar, Registration>()
  readonly #clock: Clock
  // Ends whatever waits: pauses between tries once it leaves, the wait for clients once it hurries.
  readonly #leaving = new AbortController()
  readonly #hurry = new AbortController()
  readonly #trying = new Set<Promise<void>>()
  readonly #unlisten: () => void
  #state: NonNullable<Endpoint['state']>
  #ended: Promise<void> | undefined
  /** What is registered from now on came too late, and is taken back at once. */
  #past = false

  constructor(options: AnnounceOptions, registrars: readonly Registrar[], source: SignalSource | undefined) {
    this.#options = options
    this.#registrars = registrars
    this.#clock = options.clock ?? systemClock
    this.#state = options.endpoint.state ?? (options.warmUp === undefined ? 'ready' : 'starting')
    this.endpoint = { ...options.endpoint, state: this.#state }
    // From the start: who is told to end while it starts has to leave as well.
    this.#unlisten = onExitSignals(
      options.signals ?? ['SIGTERM'],
      (nth) => void (nth === 1 ? this.leave() : this.close()),
      source,
    )
  }

  get registered(): boolean {
    return this.#registrations.size === this.#registrars.length
  }

  async begin(): Promise<void> {
    const { required = false, warmUp, endpoint } = this.#options
    try {
      const answers = await Promise.allSettled(this.#registrars.map((registrar) => this.#try(registrar, !required)))
      const failed = answers.find((answer) => answer.status === 'rejected')
      if (failed !== undefined) throw failed.reason
      if (warmUp !== undefined) {
        await warmUp()
        // Left, or told otherwise, in the meantime.
        if (endpoint.state === undefined && this.#state === 'starting') await this.setState('ready').catch(() => {})
      }
    } catch (error) {
      // Whoever started it closes the server: it has never been announced.
      await this.#end(true)
      throw error
    }
  }

  async setState(state: NonNullable<Endpoint['state']>): Promise<void> {
    if (this.#ended !== undefined) return
    await this.#tell(state)
  }

  leave(): Promise<void> {
    this.#ended ??= detached(() => this.#end(false))
    return this.#ended
  }

  close(): Promise<void> {
    this.#hurry.abort()
    return this.leave()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #end(failed: boolean): Promise<void> {
    this.#ended ??= Promise.resolve()
    const { closeServer, onDraining, closeMs = 30_000 } = this.#options
    this.#leaving.abort()
    // A registration that is under way may still come to be, and has to be taken back.
    await this.#bounded(Promise.allSettled(this.#trying))
    if (!failed) {
      const telling = this.#tell('draining').catch(() => {})
      // Beside it: clients are asked to leave also where a registry does not answer.
      await this.#bounded(Promise.all([telling, quietly(onDraining)]))
      await this.#wait()
    }
    this.#past = true
    await Promise.allSettled([...this.#registrations.values()].map((registration) => registration.deregister()))
    if (!failed) await endsWithin(quietly(closeServer), closeMs, this.#clock)
    this.#unlisten()
  }

  // Waits for the end of it, but not for long once it hurries; then it goes on by itself.
  async #bounded(work: Promise<unknown>): Promise<void> {
    const { signal } = this.#hurry
    const over = new AbortController()
    const late = async (): Promise<void> => {
      if (!signal.aborted)
        await new Promise<void>((hurry) => {
          signal.addEventListener('abort', () => hurry(), { once: true, signal: over.signal })
        })
      await sleep(this.#clock, HURRY_MS, over.signal).catch(() => {})
    }
    await Promise.race([work, late()])
    over.abort()
  }

  // Until clients can have seen that it is leaving: up to then it answers them.
  async #wait(): Promise<void> {
    if (this.#registrations.size === 0) return
    const stale = Math.max(...[...this.#registrations.keys()].map(({ staleMs }) => staleMs))
    const waitMs = this.#options.drainMs ?? stale
    if (waitMs > 0) await sleep(this.#clock, waitMs, this.#hurry.signal).catch(() => {})
  }

  async #tell(state: NonNullable<Endpoint['state']>): Promise<void> {
    this.#state = state
    const told = await Promise.allSettled(
      [...this.#registrations.values()].map((registration) => registration.setState(state)),
    )
    for (const answer of told) if (answer.status === 'rejected') throw answer.reason
  }

  #try(registrar: Registrar, again: boolean): Promise<void> {
    const trying = detached(() => this.#register(registrar, again))
    this.#trying.add(trying)
    const done = (): void => void this.#trying.delete(trying)
    trying.then(done, done)
    return trying
  }

  async #register(registrar: Registrar, again: boolean, failures = 0): Promise<void> {
    const { service, health, ttlMs } = this.#options
    const state = this.#state
    try {
      const endpoint: Endpoint = { ...this.endpoint, state }
      const registration = await registrar.register(service, endpoint, { health, ttlMs })
      if (this.#past) return await registration.deregister()
      this.#registrations.set(registrar, registration)
      registration.onLost((reason) => this.#options.onLost?.(reason))
      // Changed while it was being registered.
      if (this.#state !== state) await registration.setState(this.#state).catch(() => {})
    } catch (error) {
      createEvents(this.#options.onEvent).emit({
        type: 'registration-failed',
        service,
        registrar: registrar.name,
        endpoint: this.endpoint.id,
        error,
      })
      // Only options stay wrong for ever, and those are seen at the first try.
      if (!again || (failures === 0 && isFairleadError(error) && error.code === 'INVALID_OPTIONS')) throw error
      this.#later(registrar, failures)
    }
  }

  // The service runs meanwhile; the pause keeps no process up that has nothing else to do.
  #later(registrar: Registrar, failures: number): void {
    if (this.#leaving.signal.aborted) return
    const { random = systemRandom } = this.#options
    const pauseMs = Math.min(LEAST_PAUSE_MS * 2 ** Math.min(failures, 10), MOST_PAUSE_MS) * (0.5 + random() / 2)
    const timer = detached(() =>
      this.#clock.setTimer(
        () => {
          this.#leaving.signal.removeEventListener('abort', stop)
          const trying = this.#register(registrar, true, failures + 1).catch(() => {})
          this.#trying.add(trying)
          void trying.then(() => this.#trying.delete(trying))
        },
        pauseMs,
        undefined,
      ),
    )
    const stop = (): void => this.#clock.clearTimer(timer)
    this.#clock.unref(timer)
    this.#leaving.signal.addEventListener('abort', stop, { once: true })
  }
}

// Whoever leaves goes on to the end, whatever is thrown on the way.
async function quietly(work: (() => unknown) | undefined): Promise<void> {
  try {
    await work?.()
  } catch {
    // Of no use to a process that ends.
  }
}
