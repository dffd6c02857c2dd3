// All that is in hand: who has a turn, whose handler runs, and what becomes of each when it ends.
import { detached } from '../../core/async-context.ts'
import type { Delivery } from '../../core/contracts/transport.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { Calls } from './calls.ts'
import type { Gate } from './gate.ts'
import type { Hand } from './hand.ts'
import { Held } from './held.ts'
import { Lanes, Turns } from './lanes.ts'
import { Leases } from './leases.ts'
import { Notes } from './notes.ts'
import type { Settings } from './options.ts'
import type { Pipeline } from './pipeline.ts'
import { keepsOrder } from './places.ts'
import { type Settler, settlerOf } from './settling.ts'
import type { Teller } from './telling.ts'
import type { Throttle } from './throttle.ts'

/** What stands around the desk. */
export interface DeskParts {
  readonly settings: Settings
  readonly pipeline: Pipeline
  readonly teller: Teller
  readonly throttle: Throttle | undefined
  readonly gate: Gate | undefined
  /** Called after each round: there may be room for more. */
  readonly afterRound: () => void
}

const MOST_NOTES = 10_000

/** Runs the messages that are given to it. */
export class Desk implements Hand {
  readonly settings: Settings
  readonly teller: Teller
  readonly all: Set<Held>
  readonly lanes: Lanes
  readonly turns: Turns
  readonly notes: Notes
  /** Handler calls under way. */
  running: number
  /** Messages of which the broker is being told. */
  settling: number
  /** `go`: handlers begin. `hold`: none begins, what has not begun is given back. `end`: as `hold`, for good. */
  mode: 'go' | 'hold' | 'end'
  lastError: FairleadError | undefined
  readonly leases: Leases
  readonly calls: Calls
  readonly #throttle: Throttle | undefined
  readonly #gate: Gate | undefined
  readonly #afterRound: () => void
  readonly #settler: Settler
  /** Lanes by id of those without a key whose right was lost while their handler runs on: they must not be begun again beside it. */
  readonly #zombies: Lanes
  #arrived = 0
  #scheduled: boolean
  readonly #round: () => void
  #whenIdle: (() => void) | undefined

  constructor({ settings, pipeline, teller, throttle, gate, afterRound }: DeskParts) {
    this.settings = settings
    this.teller = teller
    this.all = new Set()
    this.lanes = new Lanes()
    this.turns = new Turns()
    this.notes = new Notes(MOST_NOTES)
    this.running = 0
    this.settling = 0
    this.mode = 'go'
    this.lastError = undefined
    this.leases = new Leases(settings.world.clock, this.all, (held, error, byBroker) =>
      this.lose(held, error, byBroker),
    )
    this.#throttle = throttle
    this.#gate = gate
    this.#afterRound = afterRound
    this.#settler = settlerOf(this)
    this.calls = new Calls(this, pipeline, this.#settler, throttle)
    this.#zombies = new Lanes()
    this.#scheduled = false
    const work = (): void => this.#work()
    const round = (): void => {
      this.#scheduled = false
      detached(work)
    }
    this.#round = round
    this.#whenIdle = undefined
  }

  // ---- coming in ----

  arrive(delivery: Delivery, subscription: number): void {
    const held = new Held(delivery, subscription, this.settings.world.clock.now(), ++this.#arrived)
    this.all.add(held)
    if (this.teller.heard) this.teller.received(held)
    const stopLost = delivery.onLost(() => this.lose(held, lostBy(delivery)))
    // Lost before it was begun: `lose` has put it away.
    if ((held.state as string) === 'gone') return
    held.stopLost = stopLost
    if (delivery.onRevoking !== undefined)
      held.stopRevoking = delivery.onRevoking(() => {
        held.revoking = true
        if (held.state === 'queued' || held.state === 'resting') this.#settler.giveBack(held)
      })
    this.leases.watch(held)
    const { key } = delivery.envelope
    const passes = key !== undefined && this.lanes.passes(held, key)
    if ((this.mode !== 'go' || passes) && this.#settler.canGiveBack) {
      this.enter(held)
      this.#settler.giveBack(held, passes ? this.lanes.untold(key) : undefined)
      return
    }
    this.enter(held)
    this.soon()
  }

  /** Into its lane, and to its turn if it is free. */
  enter(held: Held): void {
    held.state = 'queued'
    const { key } = held.delivery.envelope
    if (key !== undefined) {
      if (this.lanes.enter(held, key)) this.ready(held)
    } else if (!this.#zombies.has(held.id) || this.#zombies.enter(held, held.id)) this.ready(held)
  }

  /** It is the first of its key: to its turn, unless a rule holds it back. */
  ready(held: Held): void {
    if (this.#gate === undefined || (held.released && this.settings.batch === undefined)) this.turns.push(held)
  }

  /** A round after all that is happening now. */
  soon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(this.#round)
  }

  // ---- turns ----

  #work(): void {
    const { concurrency } = this.settings
    if (this.mode === 'go') {
      this.#letThrough()
      for (;;) {
        if (this.running >= (this.#throttle === undefined ? concurrency : this.#throttle.limit(concurrency))) break
        const held = this.turns.shift()
        if (held === undefined) break
        this.calls.begin(held)
      }
      if (this.running === 0 && this.room <= 0) this.#settler.relieve()
    }
    this.#afterRound()
    if (this.running === 0 && this.#whenIdle !== undefined) this.#checkIdle()
  }

  // What the rule lets through: to their turns, or as one batch for each free place.
  #letThrough(): void {
    const gate = this.#gate
    if (gate === undefined) return
    const { batch, concurrency } = this.settings
    for (;;) {
      const free = (this.#throttle?.limit(concurrency) ?? concurrency) - this.running
      if (batch !== undefined && free <= 0) return
      const waiting: Held[] = []
      const again: Held[] = []
      const could = new Set<Held>()
      for (const held of this.all) {
        if (held.state !== 'queued' || (held.ahead !== undefined && !could.has(held.ahead))) continue
        could.add(held)
        if (!held.released) waiting.push(held)
        else if (batch !== undefined) again.push(held)
      }
      // What was let through once and has to be tried again does not wait for the rule a second time.
      const count = again.length > 0 ? 0 : gate.open(waiting)
      const released = again.length > 0 ? again : waiting.slice(0, count)
      if (released.length === 0) return
      for (const held of released) held.released = true
      if (batch === undefined) {
        for (const held of released) if (held.ahead === undefined) this.turns.push(held)
      } else this.calls.beginBatch(released)
    }
  }

  // ---- losses ----

  /** The right to settle is gone: its handler is told, and nothing more is said of it. */
  lose(held: Held, error: FairleadError, byBroker: boolean = true): void {
    if (held.lost !== undefined || held.state === 'gone') return
    held.lost = error
    if (held.state === 'settling') return
    if (this.teller.heard) this.teller.lost(held, held.state === 'running' ? 'handling' : 'waiting', error)
    const ordered = keepsOrder(this.settings.transport.capabilities)
    // To the broker it may be ours still, and what comes after it too: it has to be told first.
    const told = ordered && !byBroker ? this.#settler.letGo(held) : undefined
    const behind = this.#settler.behind(held)
    if (held.state === 'running') {
      this.all.delete(held)
      if (held.lane === undefined) this.#zombies.enter(held, held.id)
      const { run } = held
      if (run?.held.every((each) => each.lost !== undefined)) run.abort(error)
    } else this.bury(held)
    // They would overtake it: it is handed out again, and so are they, behind it.
    if (ordered) {
      this.lanes.goesBack(held, told)
      for (const each of behind) this.#settler.giveBack(each, told)
    }
    this.soon()
  }

  /** A subscription is over: so are the rights that came with it. */
  loseAll(subscription: number, error: FairleadError): void {
    const lost = createError({ code: 'LEASE_LOST', message: 'the subscription ended', cause: error })
    for (const held of [...this.all]) if (held.subscription === subscription) this.lose(held, lost)
  }

  /** Lost, and its handler has ended, if it ran. */
  bury(held: Held): void {
    if (held.state === 'running' && this.teller.heard) this.teller.handled(held, 'lost')
    this.putAway(held)
  }

  /**
   * For so many more there is room. One whose verdict is on its way to the broker takes none, or the broker would not be asked for more before it
   * has answered; there may be as many of those again.
   */
  get room(): number {
    const { prefetch } = this.settings
    return prefetch - Math.max(this.all.size - this.settling, this.all.size - prefetch)
  }

  /** Out of hand, whatever became of it. The next of its key has its turn. */
  putAway(held: Held): void {
    this.all.delete(held)
    if (held.state === 'settling') this.settling--
    if (held.timer !== undefined) this.settings.world.clock.clearTimer(held.timer)
    held.timer = undefined
    held.state = 'gone'
    held.stopLost?.()
    held.stopRevoking?.()
    const next = held.lane === undefined ? undefined : this.lanes.leave(held)
    if (next !== undefined) this.ready(next)
    this.soon()
  }

  // ---- holding and ending ----

  /** What has not begun goes back, where it can; no handler begins any more. */
  hold(mode: 'hold' | 'end'): void {
    this.mode = mode
    this.#settler.giveAllBack()
  }

  go(): void {
    if (this.mode === 'hold') this.mode = 'go'
    this.soon()
  }

  /** Lets go of whatever is left, for good. */
  clear(): void {
    for (const held of [...this.all]) this.putAway(held)
    this.leases.stop()
    this.calls.stop()
  }

  /** Resolves when no handler runs and nothing is being settled. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
      this.soon()
    })
  }

  #checkIdle(): void {
    for (const held of this.all) if (held.state === 'settling' || held.state === 'running') return
    this.#whenIdle?.()
    this.#whenIdle = undefined
  }
}

function lostBy({ envelope }: Delivery): FairleadError {
  return createError({ code: 'LEASE_LOST', details: { id: envelope.id } })
}
