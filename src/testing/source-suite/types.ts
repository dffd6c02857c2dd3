// What a source's author gives the suite: a way to make sources over one registry, a foreign hand that writes into it, and ways to trouble it.
import type { Clock } from '../../core/clock.ts'
import type { Endpoint, Source } from '../../core/contracts/source.ts'

/** As in `Endpoint.state`. */
export type EndpointState = NonNullable<Endpoint['state']>

/** What a registry can express. What it cannot is left out, and the suite says so. */
export interface RegistryTraits {
  /** Which states it can hold. Default: only `ready`. */
  readonly states?: readonly EndpointState[] | undefined
  readonly weights?: boolean | undefined
  readonly priorities?: boolean | undefined
  readonly zones?: boolean | undefined
  readonly metadata?: boolean | undefined
  /** Named ports. */
  readonly namedPorts?: boolean | undefined
}

/** What a source and its registry can do. */
export interface SourceTraits extends RegistryTraits {
  /** What is told of a service that nobody has ever announced. */
  readonly unknown: 'absent' | 'empty'
  /** What is told of a service whose last endpoint has gone. */
  readonly emptied: 'absent' | 'empty'
  /** `given`: ids are those that were announced. `address`: the source makes them of host and port. Default `given`. */
  readonly ids?: 'given' | 'address' | undefined
  /** Each endpoint has a port of its own (false: address records of DNS; ports are then not looked at). Default true. */
  readonly ports?: boolean | undefined
  /** Until when a change is seen without being asked for, milliseconds on the lab's clock: an interval with its jitter, or a second for what is pushed. */
  readonly seesChangeWithinMs: number
  /** Until when a connection on which nothing comes any more is given up, milliseconds. Absent: cases about it are left out. */
  readonly seesSilenceWithinMs?: number | undefined
  /** Until when it asks again after an error, at most: how long to wait for a recovery. Default 30,000. */
  readonly recoversWithinMs?: number | undefined
  /** `refresh` asks at once. False: whatever changes is pushed anyway. Default true. */
  readonly refreshes?: boolean | undefined
  /** How many endpoints the heaviest case announces. Default 10,000. */
  readonly maxEndpoints?: number | undefined
}

/** What a registry knows when it is up again: what it knew, nothing, or what it knew when `save` was called. */
export type RegistryStart = 'kept' | 'empty' | 'saved'

/** What can be done to a registry. What is absent is not tried. Each answers how to end it. */
export interface RegistryFaults {
  /** Kills it. Answers how to start it again at the same address; resolves once it is up and answers. */
  kill?(): Promise<(as: RegistryStart) => Promise<void>>
  /** How it can be started again. Default: `kept`. */
  readonly starts?: readonly RegistryStart[] | undefined
  /** Keeps what it knows now, for a start as `saved`: a backup. */
  save?(): Promise<void>
  /** Stops its process where it stands (SIGSTOP): connections are accepted by the kernel, and nobody answers. */
  pause?(): Promise<() => Promise<void>>
  /** Bytes vanish both ways while connections seem open (half-open TCP). What `announce` writes still reaches the registry. */
  freeze?(): Promise<() => Promise<void>>
  /** Resets all connections; new ones are let in. */
  cut?(): Promise<void>
  /** Each answer takes so much longer. */
  slow?(ms: number): Promise<() => Promise<void>>
  /** Answers become unreadable: half of a document, HTML, nothing. */
  garble?(): Promise<() => Promise<void>>
}

/** Time in a lab: real, or a clock that is moved by hand. */
export interface LabTime {
  /** The clock that sources and registrars were given. Default: real time. */
  readonly clock?: Clock | undefined
  /** Lets time pass for them: moves an injected clock and lets what falls due run. Default: really waits. */
  pass?(ms: number): Promise<void>
  /** How many timers are set on an injected clock. */
  timers?(): number
  /** How long to wait for what should happen, in real milliseconds, on top of what the traits say. Default 10,000; with `pass` 1,000. */
  readonly patienceMs?: number | undefined
  /** How long to watch that something does not happen, milliseconds of the lab's clock. Default 300. */
  readonly quietMs?: number | undefined
}

/**
 * A registry for one case of the suite, and what can be done to it. What is absent is not tried: the cases that need it are left out, by name and reason.
 * A registry that is a server may be the same one for all labs: names of services never come twice.
 */
export interface SourceLab extends LabTime {
  readonly traits: SourceTraits
  /** One more source over the registry, as another process would have it. Its `random` must not be constant. */
  source(): Source
  /**
   * Makes the registry say exactly this of the service, by a foreign hand (never by our registrar), and resolves once the registry has it.
   * An empty list: the last one has gone; the service stays known where the registry can express that.
   */
  announce(service: string, endpoints: readonly Endpoint[]): Promise<void>
  /** Adds to the service an entry that is no endpoint: a port of 0, no address. */
  spoil?(service: string): Promise<void>
  readonly faults?: RegistryFaults | undefined
  /** Connections, watches and files that are still open for the sources of this lab. */
  openThings?(): number | Promise<number>
  /** How many questions the registry was asked so far: requests, queries, reads. */
  questions?(): number | Promise<number>
  /** A name that no service has had. Default: lower-case letters, digits and dashes. */
  service?(purpose: string): string
  /** Host and port of the n-th endpoint of a case, from 0. Default: 10.x.y.z with port 8080. */
  address?(index: number): { readonly host: string; readonly port: number }
  /** Ends the lab: stops what it started. */
  close?(): Promise<void>
}

/** Makes the lab of one case. */
export type MakeSourceLab = () => SourceLab | Promise<SourceLab>
