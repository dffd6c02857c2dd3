// Keeps the right to settle for all that is in hand, waiting or running: a message that runs out of its lease in a queue
// of ours is handed to another while we still mean to handle it.
import type { Clock, Timer } from '../../core/clock.ts'
import type { FairleadError } from '../../errors/base.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { Held } from './held.ts'

/**
 * Renews at a third of the lease, all that are due in one go, so that a transport can batch them. One timer for all; it waits for the event loop as
 * handlers do: a process that is stuck loses its leases, as it should. A renewal that fails is tried again as long as the lease lasts; one that is not answered within it is a loss.
 */
export class Leases {
  readonly #clock: Clock
  readonly #all: ReadonlySet<Held>
  readonly #lost: (held: Held, error: FairleadError, byBroker: boolean) => void
  #everyMs: number
  #timer: Timer
  #set: boolean

  constructor(
    clock: Clock,
    all: ReadonlySet<Held>,
    lost: (held: Held, error: FairleadError, byBroker: boolean) => void,
  ) {
    this.#clock = clock
    this.#all = all
    this.#lost = lost
    this.#everyMs = Infinity
    this.#timer = undefined
    this.#set = false
  }

  /** Called for each delivery. */
  watch(held: Held): void {
    const { leaseMs, extend } = held.delivery
    if (leaseMs === undefined || extend === undefined) return
    const everyMs = Math.max(leaseMs / 3, SHORTEST_MS)
    if (this.#set && everyMs >= this.#everyMs) return
    this.stop()
    if (everyMs < this.#everyMs) this.#everyMs = everyMs
    this.#arm()
  }

  stop(): void {
    if (this.#set) this.#clock.clearTimer(this.#timer)
    this.#set = false
  }

  #arm(): void {
    this.#set = true
    this.#timer = this.#clock.setTimer(ring, this.#everyMs, this)
    this.#clock.unref(this.#timer)
  }

  renew(): void {
    this.#set = false
    const now = this.#clock.now()
    // What came with a short lease is soon out of hand: the next look is as late as those that are left allow.
    let shortest = Infinity
    for (const held of this.#all) {
      const { leaseMs, extend } = held.delivery
      if (leaseMs === undefined || extend === undefined || held.lost !== undefined) continue
      if (leaseMs < shortest) shortest = leaseMs
      // It may come to rest here yet, if its dead-letter place cannot be reached.
      if (held.state === 'settling') continue
      const age = now - held.leasedAt
      if (held.extending) {
        if (age >= leaseMs) this.#lost(held, unanswered(leaseMs), false)
      } else if (age * 3 >= leaseMs - SLACK_MS) this.#extend(held, leaseMs, now)
    }
    this.#everyMs = Math.max(shortest / 3, SHORTEST_MS)
    if (shortest !== Infinity && !this.#set) this.#arm()
  }

  #extend(held: Held, leaseMs: number, now: number): void {
    held.extending = true
    let answer: Promise<void> | undefined
    try {
      answer = held.delivery.extend?.(leaseMs)
    } catch (error) {
      answer = Promise.reject(error)
    }
    answer?.then(
      () => {
        held.extending = false
        held.leasedAt = now
      },
      (error) => {
        held.extending = false
        if (held.state === 'gone' || held.state === 'settling' || held.lost !== undefined) return
        const byBroker = isFairleadError(error, 'LEASE_LOST')
        if (byBroker || this.#clock.now() - held.leasedAt >= leaseMs) this.#lost(held, asLoss(error), byBroker)
      },
    )
  }
}

/** A message that arrives with its lease all but over must not keep the process busy. */
const SHORTEST_MS = 5

// Real timers ring up to a millisecond early.
const SLACK_MS = 3

function ring(leases: Leases): void {
  leases.renew()
}

function unanswered(leaseMs: number): FairleadError {
  return createError({ code: 'LEASE_LOST', message: `the renewal was not answered within the lease of ${leaseMs} ms` })
}

function asLoss(cause: unknown): FairleadError {
  if (isFairleadError(cause, 'LEASE_LOST')) return cause
  return createError({ code: 'LEASE_LOST', message: 'the lease could not be renewed', cause })
}
