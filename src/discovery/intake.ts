// Between a source and a resolver: takes the source's word with care, and keeps what was known when there is none.
import { detached } from '../core/async-context.ts'
import type { Clock, Timer } from '../core/clock.ts'
import type { Endpoint, Source, SourceWatch } from '../core/contracts/source.ts'
import type { Events } from '../core/events.ts'
import { type Admission, admit } from './admission.ts'
import { changesOf, keepEqual } from './endpoint-changes.ts'
import type { IntakeRules } from './intake-options.ts'
import { type EndpointsById, judge } from './mass-loss.ts'
import { type Answer, readUpdate } from './read-update.ts'

/** What an intake is made of. */
export interface IntakeParts {
  readonly source: Source
  readonly service: string
  readonly clock: Clock
  /** Checked by `readIntakeOptions`. */
  readonly rules: IntakeRules
  readonly events: Events
  /**
   * Who there is, whenever that changes: checked, filtered, ids distinct, no more than `maxEndpoints`, held over a mass loss. An endpoint in which
   * nothing has changed is the same object as before. May be called inside `createIntake`.
   */
  readonly onEndpoints: (endpoints: readonly Endpoint[]) => void
}

/** One service's knowledge. */
export interface Intake {
  /** The source has answered, if only with nobody. Stays so. */
  readonly known: boolean
  /** Why the source did not answer the last time; undefined while it does. */
  readonly lastError: unknown
  /** Time since the source's last answer, undefined before the first. A source that tells changes only is silent while all is well: see `failingMs`. */
  ageMs(): number | undefined
  /** How long the source has been failing, undefined while it is not. */
  failingMs(): number | undefined
  refresh(): void
  close(): Promise<void>
}

const NOBODY: EndpointsById = new Map()

/** Begins to watch. Never throws for what the source does: that is `lastError`. */
export function createIntake(parts: IntakeParts): Intake {
  const intake = new ServiceIntake(parts)
  intake.begin()
  return intake
}

class ServiceIntake implements Intake {
  known = false
  lastError: unknown = undefined
  readonly #parts: IntakeParts
  #watch: SourceWatch | undefined
  #closed = false
  #answeredAt: number | undefined
  #failingSince: number | undefined
  #inForce: EndpointsById = NOBODY
  #pending: Answer | undefined
  #named: EndpointsById = NOBODY
  /** Who was in force before the loss that is being doubted. */
  #before: EndpointsById | undefined
  #graceOver = false
  #note: string | undefined
  #refused = ''
  #debounce: Timer | undefined
  #grace: Timer | undefined
  #stale: Timer | undefined

  constructor(parts: IntakeParts) {
    this.#parts = parts
  }

  begin(): void {
    const { source, service } = this.#parts
    try {
      // A watch outlives the call that happened to start it.
      this.#watch = detached(() => source.watch(service, (update) => this.#hear(update)))
    } catch (error) {
      this.#fail(error)
    }
    // Whoever was told inside `watch` may have closed already.
    if (this.#closed) void this.#endWatch()
  }

  ageMs(): number | undefined {
    return this.#answeredAt === undefined ? undefined : this.#parts.clock.now() - this.#answeredAt
  }

  failingMs(): number | undefined {
    return this.#failingSince === undefined ? undefined : this.#parts.clock.now() - this.#failingSince
  }

  refresh(): void {
    if (this.#closed) return
    try {
      this.#watch?.refresh()
    } catch (error) {
      this.#fail(error)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#pending = undefined
    this.#debounce = this.#clear(this.#debounce)
    this.#grace = this.#clear(this.#grace)
    this.#stale = this.#clear(this.#stale)
    await this.#endWatch()
  }

  async #endWatch(): Promise<void> {
    const watch = this.#watch
    this.#watch = undefined
    try {
      await watch?.close()
    } catch {
      // It is not needed any more, whatever it says.
    }
  }

  #hear(update: unknown): void {
    if (this.#closed) return
    const answer = readUpdate(update)
    if (answer.type === 'error') this.#fail(answer.error)
    else this.#take(answer)
  }

  #fail(error: unknown): void {
    const { clock, events, source, service, rules } = this.#parts
    this.lastError = error
    if (this.#failingSince !== undefined) return
    this.#failingSince = clock.now()
    if (rules.maxStaleMs !== undefined && this.known)
      this.#stale = this.#arm(rules.maxStaleMs, () => this.#giveUp(rules.maxStaleMs as number))
    const ageMs = this.ageMs()
    events.emit({
      type: 'source-failed',
      service,
      source: source.name,
      error,
      ...(ageMs === undefined ? {} : { ageMs }),
    })
  }

  #take(answer: Answer): void {
    const { clock, events, source, service, rules } = this.#parts
    const ageMs = this.ageMs()
    this.#answeredAt = clock.now()
    this.lastError = undefined
    this.#stale = this.#clear(this.#stale)
    if (this.#failingSince !== undefined) {
      const failedMs = clock.now() - this.#failingSince
      this.#failingSince = undefined
      // One that has just come back may not have heard from everybody yet: what is held is held for as long as at first.
      if (this.#before !== undefined) this.#doubtAnew()
      events.emit({ type: 'source-recovered', service, source: source.name, ageMs: ageMs ?? failedMs })
    }
    this.#pending = answer
    // Calls may be waiting for the first word; and where nobody is known, the next call fails.
    if (!this.known || this.#inForce.size === 0 || rules.debounceMs === 0) this.#settle()
    else this.#debounce ??= this.#arm(rules.debounceMs, () => this.#settle())
  }

  // The latest word counts. Only now is it looked at: of a burst, all but one cost nothing.
  #settle(): void {
    this.#debounce = this.#clear(this.#debounce)
    const answer = this.#pending
    this.#pending = undefined
    if (this.#closed || answer === undefined) return
    const { source, rules } = this.#parts
    const admission = admit(answer.endpoints, rules, source.remote === true, this.#named)
    this.#tellRefused(admission)
    this.#named = keepEqual(this.#named, admission.endpoints)
    this.#judge(answer.note)
  }

  #judge(note: string | undefined): void {
    const { rules } = this.#parts
    const next = new Map<string, Endpoint>()
    for (const endpoint of this.#named.values()) if (rules.accepts(endpoint)) next.set(endpoint.id, endpoint)
    const { lost, inForce, known, left } = judge(this.#before ?? this.#inForce, this.#named, next, rules.lossShare)
    if (!lost) {
      if (this.#before !== undefined) this.#endLoss('returned', known, left)
      this.#put(next, note)
    } else if (this.#graceOver) {
      this.#endLoss('believed', known, left)
      this.#put(next, note)
    } else {
      if (this.#before === undefined) {
        this.#before = this.#inForce
        this.#doubtAnew()
        this.#tellLoss('held', known, left)
      }
      this.#put(inForce, note)
    }
  }

  // Nobody is believed who is not there to say it again: a registry that came back empty and is gone once more is no witness.
  #believe(): void {
    this.#grace = undefined
    this.#graceOver = true
    if (this.#failingSince === undefined) this.#judge(this.#note)
  }

  #doubtAnew(): void {
    this.#graceOver = false
    this.#clear(this.#grace)
    this.#grace = this.#arm(this.#parts.rules.graceMs, () => this.#believe())
  }

  #endLoss(step: 'returned' | 'believed', known: number, left: number): void {
    this.#before = undefined
    this.#graceOver = false
    this.#grace = this.#clear(this.#grace)
    this.#tellLoss(step, known, left)
  }

  #giveUp(maxStaleMs: number): void {
    this.#stale = undefined
    this.#before = undefined
    this.#graceOver = false
    this.#grace = this.#clear(this.#grace)
    this.#named = NOBODY
    this.#put(NOBODY, `no answer for ${maxStaleMs} ms (maxStaleMs): what was known is dropped`)
  }

  #put(next: EndpointsById, note: string | undefined): void {
    const { events, service, source, onEndpoints } = this.#parts
    const first = !this.known
    this.known = true
    const changes = changesOf(this.#inForce, next)
    const noted = note !== this.#note
    this.#note = note
    if (changes.any) this.#inForce = next
    if (events.heard && (changes.added.length > 0 || changes.removed.length > 0 || (noted && note !== undefined)))
      events.emit({
        type: 'endpoints-changed',
        service,
        source: source.name,
        endpoints: next.size,
        added: changes.added,
        removed: changes.removed,
        ...(note === undefined ? {} : { note }),
      })
    if (changes.any || first) onEndpoints([...next.values()])
  }

  #tellLoss(step: 'held' | 'returned' | 'believed', known: number, left: number): void {
    const { events, service, source, rules } = this.#parts
    events.emit({
      type: 'mass-loss',
      service,
      source: source.name,
      step,
      known,
      left,
      ...(step === 'held' ? { graceMs: rules.graceMs } : {}),
    })
  }

  // Told when it changes: a registry with one bad entry is asked again and again.
  #tellRefused(admission: Admission): void {
    const { events, service, source } = this.#parts
    const told = admission.reasons.join('\n')
    if (told === this.#refused) return
    this.#refused = told
    if (told !== '')
      events.emit({
        type: 'endpoints-refused',
        service,
        source: source.name,
        count: admission.refused,
        reasons: admission.reasons,
      })
  }

  #arm(ms: number, callback: () => void): Timer {
    const { clock } = this.#parts
    const timer = detached(() => clock.setTimer(callback, ms, undefined))
    clock.unref(timer)
    return timer
  }

  #clear(timer: Timer | undefined): undefined {
    if (timer !== undefined) this.#parts.clock.clearTimer(timer)
    return undefined
  }
}
