// Announces an endpoint in a file that several processes share: discovery on one machine, or over a shared folder, without any server.
import { resolve } from 'node:path'
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { Endpoint, Registrar } from '../../core/contracts/source.ts'
import type { EventListener } from '../../core/events.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { keepRegistered, type RegisteredState, type RegistrationProtocol } from '../../discovery/keep-registered.ts'
import { readEndpoint } from '../../discovery/read-endpoint.ts'
import { createError } from '../../errors/classes.ts'
import { readLease } from './formats.ts'
import { type Entries, ServicesFile } from './services-file.ts'

/** Options of `fileRegistrar`. Durations are milliseconds. */
export interface FileRegistrarOptions {
  /** The file, in our own format. It is made when it is not there; its folder has to be. */
  readonly path: string
  /** How long an entry counts without a sign of life; one is given every third of it. Default 15000: a process that was killed is gone after that. */
  readonly ttlMs?: number | undefined
  /** How long readers may go on calling who has left. Default 6000: `fileSource` looks every 5 s where changes are not told. */
  readonly staleMs?: number | undefined
  /** How long one change of the file may take, waiting for the others included. Default 10000. */
  readonly timeoutMs?: number | undefined
  /** Hears of registrations. */
  readonly onEvent?: EventListener | undefined
  /** Time. Default: the system's. Leases are dates (`wallNow`): machines that share a file need clocks that agree to well within `ttlMs`. */
  readonly clock?: Clock | undefined
  /** Chance. Default: the system's. */
  readonly random?: Random | undefined
}

const OPTIONS = ['path', 'ttlMs', 'staleMs', 'timeoutMs', 'onEvent', 'clock', 'random']

/**
 * A registrar over a file in the format of `fileSource`. The file is replaced as a whole, under a lock file beside it (`path.lock`).
 * The process that announces an id last has it, and the one before is told (`onLost`): so one that was killed may start again at once. What was written by hand is left alone.
 * @throws FairleadError INVALID_OPTIONS
 * @example const registration = await fileRegistrar({ path: '/run/services.json' }).register('inventory', { id: 'a', addresses: [{ host: '10.0.0.1', port: 80 }] })
 */
export function fileRegistrar(options: FileRegistrarOptions): Registrar {
  knownOptions('fileRegistrar', options, OPTIONS)
  const { path } = options
  if (typeof path !== 'string' || path === '') throw invalidOption('path', path, 'give the path of a file')
  const ttlMs = durationOption('ttlMs', options.ttlMs, 15_000, 1)
  const staleMs = durationOption('staleMs', options.staleMs, 6_000, 0)
  const timeoutMs = durationOption('timeoutMs', options.timeoutMs, 10_000, 1)
  const clock = options.clock ?? systemClock
  const random = options.random ?? systemRandom
  const token = (): string => Array.from({ length: 4 }, () => Math.floor(random() * 2 ** 32).toString(36)).join('')
  const file = new ServicesFile({ path: resolve(path), clock, random, token: () => `${process.pid}-${token()}` })
  return {
    name: 'file',
    staleMs,
    async register(service, given, registerOptions = {}) {
      if (typeof service !== 'string' || service === '') throw invalidOption('service', service, 'give a name')
      const read = readEndpoint(given)
      if ('refused' in read) throw invalidOption('endpoint', given, `it has ${read.refused}`)
      const leaseMs = durationOption('ttlMs', registerOptions.ttlMs, ttlMs, 1)
      const { endpoint } = read
      return keepRegistered({
        ...registerOptions,
        registrar: 'file',
        service,
        endpoint,
        protocol: protocolOf({ file, service, endpoint, leaseMs, clock, owner: token() }),
        intervalMs: leaseMs / 3,
        timeoutMs,
        clock,
        random,
        onEvent: options.onEvent,
      })
    },
  }
}

interface Announced {
  readonly file: ServicesFile
  readonly service: string
  readonly endpoint: Endpoint
  readonly leaseMs: number
  readonly clock: Clock
  /** Whose entry it is. */
  readonly owner: string
}

function protocolOf(announced: Announced): RegistrationProtocol {
  const { file, service, endpoint, owner } = announced
  const { id } = endpoint
  const put = (state: RegisteredState, signal: AbortSignal): Promise<void> =>
    file.change(service, signal, (entries) => {
      if (holderOf(entries, id) === 'hand')
        throw createError({
          code: 'CONFLICT',
          message: `the entry ${JSON.stringify(id)} of ${service} was written by hand`,
          service,
        })
      return { entries: withEntry(entries, announced, state), result: undefined }
    })
  return {
    register: put,
    beat: (state, signal) =>
      file.change(service, signal, (entries) => {
        const holder = holderOf(entries, id, announced.clock.wallNow())
        if (holder === undefined) return { entries: undefined, result: 'unknown' as const }
        if (holder !== owner) return { entries: undefined, result: 'taken' as const }
        return { entries: withEntry(entries, announced, state), result: 'kept' as const }
      }),
    setState: (state, signal) =>
      file.change(service, signal, (entries) => {
        const holder = holderOf(entries, id, announced.clock.wallNow())
        // Somebody else's by now: the next sign of life tells.
        if (holder !== undefined && holder !== owner) return { entries: undefined, result: undefined }
        return { entries: withEntry(entries, announced, state), result: undefined }
      }),
    deregister: (signal) =>
      file.change(service, signal, (entries) => {
        if (holderOf(entries, id) !== owner) return { entries: undefined, result: undefined }
        return { entries: entries.filter((each) => idOf(each) !== id), result: undefined }
      }),
  }
}

function withEntry(entries: Entries, { endpoint, leaseMs, clock, owner }: Announced, state: RegisteredState): Entries {
  const entry = { ...endpoint, state, lease: { owner, until: Math.ceil(clock.wallNow() + leaseMs) } }
  const at = entries.findIndex((each) => idOf(each) === endpoint.id)
  return at === -1 ? [...entries, entry] : entries.map((each, index) => (index === at ? entry : each))
}

// Who has the entry: an owner, 'hand' for one without a lease, undefined for nobody (any more).
function holderOf(entries: Entries, id: string, now: number = Number.NEGATIVE_INFINITY): string | undefined {
  const entry = entries.find((each) => idOf(each) === id)
  if (entry === undefined) return undefined
  const lease = readLease(entry)
  if (lease === undefined) return 'hand'
  return lease.until > now ? lease.owner : undefined
}

function idOf(entry: unknown): unknown {
  return typeof entry === 'string' ? entry : (entry as { readonly id?: unknown } | null)?.id
}
