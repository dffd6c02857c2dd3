// What a case for registrars works at: services and endpoints with names of their own, and a foreign eye that waits for what should be read.
import { systemRandom } from '../../core/clock.ts'
import type { Endpoint, RegisterOptions, Registrar, Registration } from '../../core/contracts/source.ts'
import { addressOf, type Looks, sameSet, some } from '../source-suite/entries.ts'
import { type Waiting, waitingIn } from '../source-suite/waiting.ts'
import { type MortalClock, mortalClock } from './mortal-clock.ts'
import type { RegistrarLab, RegistrarTraits } from './types.ts'

/** What a case works at. */
export interface RegistrarDesk extends Waiting {
  readonly lab: RegistrarLab
  readonly traits: RegistrarTraits
  readonly looks: Looks
  /** Until when a reader sees what was written. */
  readonly seenMs: number
  /** Until when something is noticed by a registrar, and then seen by readers. */
  readonly noticeMs: number
  /** Whether the registry can hold the state. `ready` always. */
  holds(state: NonNullable<Endpoint['state']>): boolean
  registrar(): Registrar
  /** One whose process can die. */
  mortal(): { readonly registrar: Registrar; readonly clock: MortalClock }
  service(purpose?: string | undefined): string
  endpoint(service: string, index?: number | undefined, more?: Partial<Endpoint> | undefined): Endpoint
  /** Registers with the shortest lease, at one of the desk's registrars by default; it is deregistered at the end of the case. */
  register(
    service: string,
    endpoint: Endpoint,
    options?: RegisterOptions | undefined,
    registrar?: Registrar | undefined,
  ): Promise<Registration>
  /** Waits until readers see exactly this. Default time: `seenMs`. */
  reads(what: string, service: string, endpoints: readonly Endpoint[], withinMs?: number | undefined): Promise<void>
  /** Waits until readers see nobody who is ready. */
  readsNoneReady(what: string, service: string, withinMs: number): Promise<void>
  onEnd(end: () => Promise<void> | void): void
}

/** Makes the desk of one case. */
export function registrarDeskIn(lab: RegistrarLab): {
  readonly desk: RegistrarDesk
  finish(): Promise<readonly string[]>
} {
  const { traits } = lab
  const waiting = waitingIn(lab)
  const ends: (() => Promise<void> | void)[] = []
  const looks: Looks = { ...traits, ids: true, ports: true }
  const seenMs = traits.seenWithinMs ?? 0
  let names = 0
  let own: Registrar | undefined
  const desk: RegistrarDesk = {
    ...waiting,
    lab,
    traits,
    looks,
    seenMs,
    noticeMs: traits.noticesWithinMs + seenMs,
    holds: (state) => state === 'ready' || traits.states?.includes(state) === true,
    registrar: () => lab.registrar(),
    mortal() {
      const clock = mortalClock(waiting.clock)
      return { registrar: lab.registrar(clock), clock }
    },
    service: (purpose = 'service') =>
      lab.service?.(purpose) ?? `fl-${purpose}-${++names}-${Math.floor(systemRandom() * 36 ** 8).toString(36)}`,
    endpoint: (service, index = 0, more = {}) => ({
      id: `${service}-${index}`,
      addresses: [lab.address?.(index) ?? addressOf(index)],
      ...more,
    }),
    async register(service, endpoint, options = {}, registrar = (own ??= lab.registrar())) {
      const given = traits.ttlMs === undefined ? options : { ttlMs: traits.ttlMs, ...options }
      const registering = registrar.register(service, endpoint, given)
      const registration = await waiting.done('registering', traits.givesUpWithinMs ?? 30_000, registering)
      ends.push(() => registration.deregister())
      return registration
    },
    async reads(what, service, endpoints, withinMs = seenMs) {
      let read: readonly Endpoint[] = []
      await waiting.until(
        what,
        withinMs,
        async () => {
          read = await lab.read(service)
          return sameSet(read, endpoints, looks)
        },
        () => `expected ${some(endpoints, looks)}, read ${some(read, looks)}`,
      )
    },
    async readsNoneReady(what, service, withinMs) {
      let read: readonly Endpoint[] = []
      await waiting.until(
        what,
        withinMs,
        async () => {
          read = await lab.read(service)
          return read.every(({ state = 'ready' }) => state !== 'ready')
        },
        () => `read ${some(read, looks)}`,
      )
    },
    onEnd: (end) => void ends.push(end),
  }
  return {
    desk,
    async finish() {
      const wrong: string[] = []
      for (const end of ends.reverse())
        await waiting.done('the end of a registration', 60_000, Promise.resolve(end())).catch((error: unknown) => {
          wrong.push(`at the end: ${error instanceof Error ? error.message : String(error)}`)
        })
      return wrong
    },
  }
}
