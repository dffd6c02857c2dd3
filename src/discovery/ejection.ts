// When an endpoint that fails is left out, for how long, and when it is believed again.
import type { Random } from '../core/clock.ts'
import { countOption, durationOption, knownOptions, shareOption } from '../core/options.ts'
import { RollingCounts } from './rolling-counts.ts'

/** When an endpoint is left out for a while. Durations are milliseconds, shares 0 to 1. */
export interface EjectionOptions {
  /** Failures in a row. Default 3: a client pays them for each instance that dies. */
  readonly consecutive?: number | undefined
  /** Ejected when fewer of its calls go well than this. Default 0.8. 0 turns it off. */
  readonly successRate?: number | undefined
  /** Over so long. Default 30000. */
  readonly windowMs?: number | undefined
  /** And of at least so many calls. Default 10: of fewer, two failures by chance would be enough. */
  readonly minRequests?: number | undefined
  /** How long the first time; twice as long each time after. Each is drawn from its upper half (equal jitter). Default 5000. */
  readonly baseMs?: number | undefined
  /** How long at most. Default 300000. */
  readonly maxMs?: number | undefined
  /** One doubling is forgotten for each such time that it was not ejected. Default 30000. */
  readonly calmMs?: number | undefined
  /** No more of the ready endpoints than this share, and never the last. Default 0.5. */
  readonly maxShare?: number | undefined
  /** With fewer than this share of the ready endpoints not ejected, ejection is ignored (panic): rather some failures than all load on a few. Default 0.5; 0 turns it off. */
  readonly panicBelow?: number | undefined
}

/** The options with the defaults filled in. */
export interface EjectionRules {
  readonly consecutive: number
  readonly successRate: number
  readonly windowMs: number
  readonly minRequests: number
  readonly baseMs: number
  readonly maxMs: number
  readonly calmMs: number
  readonly maxShare: number
  readonly panicBelow: number
}

const NAMES = [
  'consecutive',
  'successRate',
  'windowMs',
  'minRequests',
  'baseMs',
  'maxMs',
  'calmMs',
  'maxShare',
  'panicBelow',
]

/**
 * Checks the options; false is no ejection at all.
 * @throws FairleadError INVALID_OPTIONS
 */
export function ejectionRules(given: EjectionOptions | false | undefined): EjectionRules | undefined {
  if (given === false) return undefined
  const options = given ?? {}
  knownOptions('ejection', options, NAMES)
  const baseMs = durationOption('ejection.baseMs', options.baseMs, 5_000)
  return {
    consecutive: countOption('ejection.consecutive', options.consecutive, 3),
    successRate: shareOption('ejection.successRate', options.successRate, 0.8, true),
    windowMs: durationOption('ejection.windowMs', options.windowMs, 30_000),
    minRequests: countOption('ejection.minRequests', options.minRequests, 10),
    baseMs,
    maxMs: durationOption('ejection.maxMs', options.maxMs, Math.max(300_000, baseMs), baseMs),
    calmMs: durationOption('ejection.calmMs', options.calmMs, 30_000),
    maxShare: shareOption('ejection.maxShare', options.maxShare, 0.5, true),
    panicBelow: shareOption('ejection.panicBelow', options.panicBelow, 0.5, true),
  }
}

/** Why an endpoint is ejected. */
export type EjectionReason = 'consecutive' | 'success-rate'

/** What is remembered of one endpoint for its ejection. */
export class OutlierRecord {
  readonly recent: RollingCounts
  failures: number
  /** How often it was ejected since it was last calm: one more than the doublings. */
  ejections: number
  /** End of the ejection, or when the next probe may go out while one is out. */
  until: number
  /** How long the last ejection was. */
  forMs: number
  probing: boolean
  /** Of the last ejection. */
  reason: EjectionReason
  private returnedAt: number

  constructor(rules: EjectionRules) {
    this.recent = new RollingCounts(rules.windowMs)
    this.failures = 0
    this.ejections = 0
    this.until = 0
    this.forMs = 0
    this.probing = false
    this.reason = 'consecutive'
    this.returnedAt = 0
  }

  succeeded(now: number): void {
    this.failures = 0
    this.recent.count(true, now)
  }

  /**
   * Counts a failure and says whether it is one too many.
   * @param all the same counts of the whole service, this failure among them: where everybody fails alike, it is not the endpoint
   */
  failed(rules: EjectionRules, all: RollingCounts, now: number): EjectionReason | undefined {
    this.failures++
    this.recent.count(false, now)
    if (this.failures >= rules.consecutive) return 'consecutive'
    if (rules.successRate === 0) return undefined
    const own = this.recent.sums(now)
    const total = own.ok + own.failed
    if (total < rules.minRequests || own.ok >= rules.successRate * total) return undefined
    const { ok, failed } = all.sums(now)
    const others = Math.max(ok - own.ok, 0) + Math.max(failed - own.failed, 0)
    const twice = others > 0 ? (2 * Math.max(failed - own.failed, 0)) / others : 0
    return own.failed / total >= twice ? 'success-rate' : undefined
  }

  /**
   * Begins an ejection, or the next one after a probe that failed, and says how long it is.
   * @param longer false: no longer than the last one
   */
  begin(rules: EjectionRules, random: Random, reason: EjectionReason, now: number, longer: boolean): number {
    this.reason = reason
    if (!this.probing) {
      const calm = Math.floor((now - this.returnedAt) / rules.calmMs)
      this.ejections = Math.max(this.ejections - calm, 0)
    } else if (!longer) this.ejections--
    const wanted = rules.baseMs * 2 ** this.ejections
    const ms = Math.min(wanted, rules.maxMs)
    // Once it is as long as it can be there is no more to forget either.
    if (wanted < rules.maxMs || this.ejections === 0) this.ejections++
    this.forMs = drawn(ms, random)
    this.until = now + this.forMs
    this.probing = false
    this.failures = 0
    this.recent.clear()
    return this.forMs
  }

  /** One call is given to it. Should nobody ever say how that went, another may go out after as long a time. */
  probe(now: number): void {
    this.probing = true
    this.until = now + this.forMs
  }

  /**
   * The probe came to nothing. The next call is one where it was never sent. Else one after as long as a first ejection: of whoever hangs, every
   * caller without patience would have to find out anew.
   */
  unprobed(rules: EjectionRules, random: Random, sent: boolean, now: number): void {
    this.probing = false
    this.until = sent ? Math.min(this.until, now + drawn(rules.baseMs, random)) : now
  }

  /** It is well again. */
  end(now: number): void {
    this.returnedAt = now
    this.until = 0
    this.probing = false
    this.failures = 0
    this.recent.clear()
  }
}

// From its upper half: clients that ejected at the same time must not all come back at the same time.
function drawn(ms: number, random: Random): number {
  return ms / 2 + (random() * ms) / 2
}
