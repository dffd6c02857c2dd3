// What a registrar's author gives the suite: a way to make registrars over one registry, and a foreign eye that reads it.
import type { Clock } from '../../core/clock.ts'
import type { Endpoint, Registrar } from '../../core/contracts/source.ts'
import type { LabTime, RegistryFaults, RegistryTraits } from '../source-suite/types.ts'

/** What a registrar and its registry can do. */
export interface RegistrarTraits extends RegistryTraits {
  /** The shortest lease that may be asked for (`ttlMs`), milliseconds: entries without a sign of life are gone then. Absent: they stay for ever. */
  readonly ttlMs?: number | undefined
  /** How long an entry may outlive its lease: sweeps, caches. Default 0. */
  readonly expiresLateByMs?: number | undefined
  /** Until when a lost lease, a failing health check or another process under the same id is noticed: an interval. Milliseconds. */
  readonly noticesWithinMs: number
  /** Until when readers see what was written. Default 0: at once. */
  readonly seenWithinMs?: number | undefined
  /** Another process under the same id is told by `onLost`. Default true. */
  readonly tellsTaken?: boolean | undefined
  /** How long `deregister` may take when nobody answers. Default 30,000. */
  readonly givesUpWithinMs?: number | undefined
}

/**
 * A registry for one case of the suite, and what can be done to it. What is absent is not tried: the cases that need it are left out, by name and reason.
 * A registry that is a server may be the same one for all labs: names of services never come twice.
 */
export interface RegistrarLab extends LabTime {
  readonly traits: RegistrarTraits
  /**
   * One more registrar, as another process would have it.
   * @param clock to be given to it in place of the lab's: the suite stops it, which is how a process dies here
   */
  registrar(clock?: Clock | undefined): Registrar
  /** What any client reads now, by a foreign eye; also those that are not ready, where the registry tells. Nobody: an empty list. */
  read(service: string): Promise<readonly Endpoint[]>
  /** Makes the registry forget the entry, behind the registrar's back. */
  expire?(service: string, id: string): Promise<void>
  readonly faults?: RegistryFaults | undefined
  /** Connections, sessions and files that are still open for the registrars of this lab. */
  openThings?(): number | Promise<number>
  /** When signs of life of an entry came, on the lab's clock. */
  beats?(service: string, id: string): readonly number[]
  /** A name that no service has had. Default: lower-case letters, digits and dashes. */
  service?(purpose: string): string
  /** Host and port of the n-th endpoint of a case, from 0. Default: 10.x.y.z with port 8080. */
  address?(index: number): { readonly host: string; readonly port: number }
  /** Ends the lab: stops what it started. */
  close?(): Promise<void>
}

/** Makes the lab of one case. */
export type MakeRegistrarLab = () => RegistrarLab | Promise<RegistrarLab>
