// Holds messages back until their trigger's rule is met. Where the broker only counts what waits, nothing is taken until then, and nobody's redelivery
// count rises; where it does not, they are taken and held, and their leases renewed.
import type { Timer } from '../../core/clock.ts'
import type { Held } from './held.ts'
import type { Settings } from './options.ts'
import type { Trigger } from './trigger.ts'

/** What the gate does to the consumer. */
export interface GateHooks {
  /** Something has changed: ask `open` again. */
  changed(): void
  /** Takes up to so many from the broker. */
  take(count: number): void
  failed(error: unknown): void
}

const POLL_MS = 1_000

/** Asks the rule. */
export class Gate {
  readonly #trigger: Trigger
  readonly #settings: Settings
  readonly #hooks: GateHooks
  readonly counted: boolean
  /** How many were let through and have not arrived yet. */
  #owed: number
  #owedUntil: number
  #releasedAt: number
  #atBroker: number
  #atBrokerByPriority: Map<number, number>
  /** Since when something waits there, as far as is known. */
  #atBrokerSince: number | undefined
  #polling: boolean
  #pollTimer: Timer
  #askTimer: Timer
  #started: boolean

  constructor(trigger: Trigger, settings: Settings, hooks: GateHooks) {
    this.#trigger = trigger
    this.#settings = settings
    this.#hooks = hooks
    const { transport } = settings
    this.counted =
      trigger.sees > 1 && transport.capabilities.waiting === 'counted' && typeof transport.inspect === 'function'
    this.#owed = 0
    this.#owedUntil = 0
    this.#releasedAt = settings.world.clock.now()
    this.#atBroker = 0
    this.#atBrokerByPriority = new Map()
    this.#atBrokerSince = undefined
    this.#polling = false
    this.#pollTimer = undefined
    this.#askTimer = undefined
    this.#started = false
  }

  start(): void {
    this.#releasedAt = this.#settings.world.clock.now()
    this.#started = true
    if (this.counted) void this.poll()
  }

  stop(): void {
    const { clock } = this.#settings.world
    this.#started = false
    clock.clearTimer(this.#pollTimer)
    clock.clearTimer(this.#askTimer)
  }

  /**
   * How many of those that wait (in order of arrival) may go now. Those owed are waited for a little, so that what belongs to one batch comes in one.
   */
  open(waiting: readonly Held[]): number {
    if (!this.#started) return 0
    const { clock } = this.#settings.world
    const now = clock.now()
    if (this.#owed > 0) {
      const room = this.#settings.prefetch
      if (waiting.length < Math.min(this.#owed, room) && now < this.#owedUntil) return 0
      const count = Math.min(this.#owed, waiting.length)
      this.#owed = now < this.#owedUntil ? this.#owed - count : 0
      // Others took them: what was counted then is no news any more.
      if (this.#owed === 0) this.#forgetBroker()
      this.#takeOwed(now, 0)
      return this.#released(count, now)
    }
    const answer = this.#trigger.decide({
      count: waiting.length + this.#atBroker,
      atOrAbove: (priority) =>
        waiting.reduce(
          (sum, { delivery }) => sum + ((delivery.envelope.priority ?? 0) >= priority ? 1 : 0),
          this.#atBrokerByPriority.get(priority) ?? 0,
        ),
      waitedMs: now - Math.min(waiting[0]?.arrivedAt ?? now, this.#atBrokerSince ?? now),
      sinceReleaseMs: now - this.#releasedAt,
    })
    clock.clearTimer(this.#askTimer)
    if ('release' in answer) {
      const wanted = Math.min(answer.release, waiting.length + this.#atBroker)
      if (wanted <= 0) return 0
      if (wanted <= waiting.length) return this.#released(wanted, now)
      // The rest is at the broker: what is here waits for it.
      this.#owed = wanted
      this.#takeOwed(now, waiting.length)
      return 0
    }
    if (answer.askAgainMs !== undefined) {
      this.#askTimer = clock.setTimer(this.#hooks.changed, Math.max(answer.askAgainMs, 1), undefined)
    }
    return 0
  }

  get #pollMs(): number {
    return this.#trigger.pollMs ?? POLL_MS
  }

  #takeOwed(now: number, here: number): void {
    if (this.#owed <= 0) return
    const { clock } = this.#settings.world
    this.#hooks.take(Math.min(this.#owed, this.#settings.prefetch) - here)
    this.#owedUntil = now + this.#pollMs
    clock.clearTimer(this.#askTimer)
    this.#askTimer = clock.setTimer(this.#hooks.changed, this.#pollMs, undefined)
  }

  #released(count: number, now: number): number {
    if (count === 0) return 0
    this.#releasedAt = now
    this.#forgetBroker()
    return count
  }

  #forgetBroker(): void {
    this.#atBroker = 0
    this.#atBrokerSince = undefined
    this.#atBrokerByPriority.clear()
  }

  async poll(): Promise<void> {
    if (this.#polling || !this.#started) return
    this.#polling = true
    const { transport, from, world } = this.#settings
    try {
      const backlog = await transport.inspect?.(from)
      const byPriority = new Map<number, number>()
      for (const priority of this.#trigger.priorities ?? [])
        byPriority.set(priority, (await transport.inspect?.(from, priority))?.waiting ?? 0)
      // What was let through meanwhile was counted as well.
      if (this.#owed === 0) {
        this.#atBroker = backlog?.waiting ?? 0
        this.#atBrokerByPriority = byPriority
        const now = world.clock.now()
        this.#atBrokerSince =
          this.#atBroker > 0 ? Math.min(this.#atBrokerSince ?? now, now - (backlog?.oldestMs ?? 0)) : undefined
      }
    } catch (error) {
      this.#hooks.failed(error)
    }
    this.#polling = false
    if (!this.#started) return
    this.#pollTimer = world.clock.setTimer(poll, this.#pollMs, this)
    this.#hooks.changed()
  }
}

function poll(gate: Gate): void {
  void gate.poll()
}
