// What discovery asks of a registry: who is alive, and how to announce oneself.

/**
 * One instance of a service. An equal `id` is the same instance, whatever else has changed: its figures are kept. At another place (its first address
 * is none of those that it had) it begins anew: nothing that was known of the process there is held against the one here.
 */
export interface Endpoint {
  /** Survives a refresh: the registry's instance id, a pod uid, or host:port. */
  readonly id: string
  /** Ways to the one instance, best first: a connection may try them all. At least one. Ports 1 to 65535. */
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  /** Named ports (`metrics`, `grpc`): option `port` of a discovery takes one of them in place of that of `addresses`. */
  readonly ports?: Readonly<Record<string, number>>
  /** Logical name, for Host and SNI. */
  readonly hostname?: string
  readonly secure?: boolean
  /** Share of the calls, against the others'. Default 1; 0 is used only where there is nobody else. */
  readonly weight?: number
  /** The lowest number first (as SRV records, RFC 2782); the next one only when nobody of it can be used. Default 0. */
  readonly priority?: number
  readonly zone?: string
  /**
   * What the registry says. Default `ready`. `starting`: used when nobody is ready. `draining`: it is leaving and still answers,
   * used when nobody is ready or starting. `down`: never.
   */
  readonly state?: 'ready' | 'starting' | 'draining' | 'down'
  readonly metadata?: Readonly<Record<string, string>>
}

/** What a source says of one service. */
export type SourceUpdate =
  /** All of them. An empty list is an answer as well: the service is known, and nobody is there. */
  | {
      readonly type: 'snapshot'
      readonly endpoints: readonly Endpoint[]
      /** How long the answer is good for (DNS); the source asks again by itself. */
      readonly ttlMs?: number
      /** What an operator should know of it, such as "one address behind a name: a virtual IP". Told as an event when it changes. */
      readonly note?: string
    }
  /** The registry answered that it knows no such service (404, NXDOMAIN). */
  | { readonly type: 'absent' }
  /** The registry did not answer, or not in a way that can be read. It says nothing of the endpoints, and never empties them. */
  | {
      readonly type: 'error'
      readonly error: unknown
      /** When the source asks again by itself. */
      readonly retryInMs?: number
    }

/**
 * Says where the instances of a service are.
 *
 * Rules, each with a case in `testSource`: `watch` never throws for what a registry does, only for what cannot be asked at all;
 * the first word comes as soon as there is one, also when it is an error; `sink` may be called inside `watch`, and is never called
 * after `close` was; a source goes on by itself after every error, with pauses that grow and differ (jitter); the same endpoint has
 * the same id in every snapshot; what cannot be read is an error, never an empty list; a single entry that is no endpoint is left
 * out and told (`note`), the rest is given; closing the last watch leaves no timer, no socket and no file open.
 */
export interface Source {
  readonly name: string
  /** Others can write what it says (a registry on the network): addresses of this machine and of its link are refused by default. */
  readonly remote?: boolean
  watch(service: string, sink: (update: SourceUpdate) => void): SourceWatch
}

/** One running watch. */
export interface SourceWatch {
  /** Asks again soon: a call failed, or somebody knows better. Many at once become one, and no more than one a second. */
  refresh(): void
  close(): Promise<void>
}

/** Options of one registration. Durations are milliseconds. */
export interface RegisterOptions {
  /** How long the registry keeps it without a sign of life. Default: the registry's own custom. */
  readonly ttlMs?: number | undefined
  /** Asked before each sign of life; false, a rejection, or no answer within half of the interval makes it `down` until it is true again. */
  readonly health?: (() => boolean | Promise<boolean>) | undefined
}

/**
 * Announces an endpoint: the other half of a registry.
 *
 * Rules, each with a case in `testRegistrar`: `register` resolves when the registry has it, and rejects with a FairleadError when it
 * cannot (it may be tried again); signs of life go at the interval the registry expects, each a little off (jitter), and go on after
 * errors; a lost lease (an unknown instance, an expired session) is registered again by itself with the state it had; the same id
 * announced by another process is told by `onLost` and not fought over; `deregister` resolves when the registry has let it go or
 * cannot be reached in time, is final, and leaves no timer and no socket.
 */
export interface Registrar {
  readonly name: string
  /** How long clients of this registry may go on calling who has left: what `announce` waits between `draining` and `deregister` by default. */
  readonly staleMs: number
  register(service: string, endpoint: Endpoint, options?: RegisterOptions): Promise<Registration>
}

/** One endpoint as announced. */
export interface Registration {
  readonly endpoint: Endpoint
  setState(state: 'starting' | 'ready' | 'draining' | 'down'): Promise<void>
  /** Lease lost for good, or another process announced itself under the same id. Returns the way to stop listening. */
  onLost(listener: (reason: unknown) => void): () => void
  deregister(): Promise<void>
}
