// Bounds how much load retries may add: a share of the calls, banked up to a few, and a floor for those who call seldom.
import type { Clock } from '../core/clock.ts'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import { SEAMS, type Seams, world } from './seams.ts'

/** Options of a retry budget. */
export interface RetryBudgetOptions extends Seams {
  /** Retries earned by each call. Default 0.1. */
  readonly ratio?: number | undefined
  /** How many earned retries are kept at most. Default 10. */
  readonly banked?: number | undefined
  /** Retries a second that are allowed whatever was earned; not banked. Default 3. */
  readonly floorPerSecond?: number | undefined
}

/** A token bucket shared by all who retry or hedge against one service. */
export interface RetryBudget {
  /** A call began: it earns. */
  deposit(): void
  /** Takes one retry; false if there is none left. */
  withdraw(): boolean
  /** Earned retries left. */
  readonly balance: number
  readonly options: { readonly ratio: number; readonly banked: number; readonly floorPerSecond: number }
}

/** Makes a budget. It begins with a full bank. */
export function retryBudget(options: RetryBudgetOptions = {}): RetryBudget {
  knownOptions('retry.budget', options, ['ratio', 'banked', 'floorPerSecond', ...SEAMS])
  const { ratio = 0.1 } = options
  if (typeof ratio !== 'number' || !(ratio >= 0 && ratio <= 10))
    throw invalidOption('retry.budget.ratio', ratio, 'give retries per call, 0 to 10; 0.1 is one in ten')
  const banked = countOption('retry.budget.banked', options.banked, 10, 0)
  const floor = countOption('retry.budget.floorPerSecond', options.floorPerSecond, 3, 0)
  return new Bucket(ratio, banked, floor, world(options).clock)
}

/** The budget that an option stands for: one that is given, one of its own, or none. For policies, which share the rule. */
export function budgetOption(
  option: string,
  given: RetryBudget | RetryBudgetOptions | false | undefined,
  clock: Clock | undefined,
): RetryBudget | undefined {
  if (given === false) return undefined
  if (given !== undefined && (typeof given !== 'object' || given === null))
    throw invalidOption(option, given, 'give its options, a retryBudget(), or false')
  if (given !== undefined && 'withdraw' in given) return given
  return retryBudget({ clock, ...given })
}

class Bucket implements RetryBudget {
  readonly #clock: Clock
  readonly #ratio: number
  readonly #banked: number
  readonly #floor: number
  balance: number
  // When each of the last floor retries was taken: a ring, so that any second, not each calendar second, keeps the floor.
  #taken: Float64Array | undefined
  #next = 0

  constructor(ratio: number, banked: number, floor: number, clock: Clock) {
    this.#ratio = ratio
    this.#banked = banked
    this.#floor = floor
    this.#clock = clock
    this.balance = banked
  }

  get options(): RetryBudget['options'] {
    return { ratio: this.#ratio, banked: this.#banked, floorPerSecond: this.#floor }
  }

  deposit(): void {
    const { balance } = this
    if (balance < this.#banked) this.balance = Math.min(this.#banked, balance + this.#ratio)
  }

  withdraw(): boolean {
    // Sums of 0.1 fall short of 1 by a rounding error.
    if (this.balance >= 1 - 1e-9) {
      this.balance = Math.max(0, this.balance - 1)
      return true
    }
    if (this.#floor === 0) return false
    const now = this.#clock.now()
    this.#taken ??= new Float64Array(this.#floor).fill(-Infinity)
    if (now - (this.#taken[this.#next] as number) < 1_000) return false
    this.#taken[this.#next] = now
    this.#next = (this.#next + 1) % this.#floor
    return true
  }
}
