// What a transport's author gives the suite: a way to open transports on one broker, and, where there is one, a way to trouble that broker.
import type { Clock, Random } from '../../core/clock.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'

/** `queue` or `topic`: most cases are run in each mode that the transport has. */
export type Mode = 'queue' | 'topic'

/** How a transport is to be opened. */
export interface LabOpenOptions {
  /** The lease of its deliveries; the suite asks for the `leaseMs` of the lab, and only in cases about leases. Absent: the transport's own default. */
  readonly leaseMs?: number | undefined
}

/**
 * A broker (or what stands in for one) for one run of the suite, and what can be done to it. What is absent is not tried; a capability that only
 * such a case could prove then counts as unproven (`persistent` needs `restart`, `extend` needs `leaseMs`).
 */
export interface TransportLab {
  /** One more connection to the same broker, as another process would have it. The suite closes what it opened. */
  open(options?: LabOpenOptions | undefined): MessageTransport | Promise<MessageTransport>
  /** The clock that the transports were given. Default: real time. */
  readonly clock?: Clock | undefined
  /** Lets time pass for the transports: moves an injected clock and lets what falls due run. `pass(0)` gives pending work a turn. Default: really waits. */
  pass?(ms: number): Promise<void>
  /** A short lease that `open({ leaseMs })` can give. With real time: long enough for a slow machine to settle in, such as 1,500. */
  readonly leaseMs?: number | undefined
  /** Kills the broker and starts it again on its data, at the same address. Resolves once it is up. */
  restart?(): Promise<void>
  /** Stops the broker. Answers how to start it again, at the same address. */
  stop?(): Promise<() => Promise<void>>
  /** Resets all connections; new ones are let in. */
  cut?(): Promise<void>
  /** Bytes vanish both ways while connections seem open (half-open TCP). Answers how to end that. */
  freeze?(): Promise<() => Promise<void>>
  /** A name that no channel has had. Default: made of letters, digits and dashes. */
  channel?(kind: Mode, purpose: string): string
  /** How many messages the heavy cases send. Default 5,000. */
  readonly heavy?: number | undefined
  /** How long to wait for what should happen, in real milliseconds. Default 10,000; with `pass` 1,000. */
  readonly patienceMs?: number | undefined
  /** How long to watch that something does not happen. Default 200. */
  readonly quietMs?: number | undefined
  /** The delay used in cases about delays. Default 1,000. */
  readonly delayMs?: number | undefined
  /** Names of channels and ids come from it. Default: real chance, so that runs on one server do not meet. */
  readonly random?: Random | undefined
  /** Ends the lab: stops what it started. */
  close(): Promise<void>
}
