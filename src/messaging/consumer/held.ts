// One message in hand, from its delivery until it is settled, lost or given back; and the lane in which it stands with others of its key.
import type { Timer } from '../../core/clock.ts'
import type { Delivery } from '../../core/contracts/transport.ts'
import type { FairleadError } from '../../errors/base.ts'

/**
 * `queued`: waits for its turn. `running`: its handler runs. `resting`: waits for its time. `settling`: the broker is being told.
 * `gone`: of no concern any more.
 */
export type HeldState = 'queued' | 'running' | 'resting' | 'settling' | 'gone'

/** The handler call that a message is in, as far as the message is concerned. */
export interface HandlerCall {
  readonly held: readonly Held[]
  abort(reason: unknown): void
}

/** Every field is set in the constructor: one hidden class for the hot path. */
export class Held {
  readonly delivery: Delivery
  readonly id: string
  /** Which subscription it came from: the right to settle ends with it. */
  readonly subscription: number
  readonly arrivedAt: number
  /** Counts up in the order of arrival. */
  readonly place: number
  state: HeldState
  lane: Lane | undefined
  /** Neighbours in the lane. */
  ahead: Held | undefined
  behind: Held | undefined
  /** In the queue of those whose turn it is. */
  turn: Held | undefined
  inTurn: boolean
  /** Let through by the trigger. */
  released: boolean
  /** The handler call that it is in. */
  run: HandlerCall | undefined
  attempts: number
  /** Delayed retries that were waited for here, so that no broker counted them: after failures, and those that were asked for. */
  failedHere: number
  askedHere: number
  timer: Timer
  restsUntil: number
  /** When the lease began, and whether it is being extended. */
  leasedAt: number
  extending: boolean
  lost: FairleadError | undefined
  revoking: boolean
  stopLost: (() => void) | undefined
  stopRevoking: (() => void) | undefined

  constructor(delivery: Delivery, subscription: number, now: number, place: number) {
    this.delivery = delivery
    this.id = delivery.envelope.id
    this.subscription = subscription
    this.arrivedAt = now
    this.place = place
    this.state = 'queued'
    this.lane = undefined
    this.ahead = undefined
    this.behind = undefined
    this.turn = undefined
    this.inTurn = false
    this.released = false
    this.run = undefined
    this.attempts = 0
    this.failedHere = 0
    this.askedHere = 0
    this.timer = undefined
    this.restsUntil = 0
    this.leasedAt = now
    this.extending = false
    this.lost = undefined
    this.revoking = false
    this.stopLost = undefined
    this.stopRevoking = undefined
  }
}

/** The messages of one key that are in hand, in the order of their delivery. */
export class Lane {
  /** The lanes that it is one of. */
  readonly home: Map<string, Lane>
  readonly key: string
  first: Held | undefined
  last: Held | undefined

  constructor(home: Map<string, Lane>, key: string) {
    this.home = home
    this.key = key
    this.first = undefined
    this.last = undefined
  }

  append(held: Held): void {
    held.lane = this
    held.ahead = this.last
    if (this.last === undefined) this.first = held
    else this.last.behind = held
    this.last = held
  }

  remove(held: Held): void {
    if (held.ahead === undefined) this.first = held.behind
    else held.ahead.behind = held.behind
    if (held.behind === undefined) this.last = held.ahead
    else held.behind.ahead = held.ahead
    held.ahead = undefined
    held.behind = undefined
    held.lane = undefined
  }
}
