// How one channel fares. What fails speaks against a message only where others of its channel get through: else it is the channel that is away, and its rows are put
// aside in the store, so that those of other channels can be read.
import type { PendingRow } from '../../core/contracts/store.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { World } from '../../policies/seams.ts'
import { Outage } from './outage.ts'
import type { Growth } from './waits.ts'

/** A row is put aside again after so long for each of them, milliseconds: about a thousand a second are written. */
const ASIDE_MS_EACH = 1
const LONGEST_ASIDE_MS = 60_000

/** One channel, since the relay was started. */
export class Standing {
  readonly channel: ChannelAddress
  readonly outage: Outage
  /** Sends that got something through. */
  successes: number
  /** Something got through since a message failed alone. */
  vouched: boolean
  /** The last that is known of it is that something got through. */
  well: boolean
  /** It was told that this channel is away, and others are not. */
  told: boolean
  /** Sends that are out. */
  sends: number
  readonly #growth: Growth
  readonly #world: World
  /** By partition, in this outage. */
  #highest: bigint[]
  #seen: number

  constructor(channel: ChannelAddress, growth: Growth, world: World, due: () => void) {
    this.channel = channel
    this.outage = new Outage(growth, world, due)
    this.successes = 0
    this.vouched = false
    this.well = false
    this.told = false
    this.sends = 0
    this.#growth = growth
    this.#world = world
    this.#highest = []
    this.#seen = 0
  }

  /** Something got through. Says how long it was away, if it was. */
  through(): number | undefined {
    this.successes++
    this.vouched = true
    this.well = true
    this.#highest = []
    this.#seen = 0
    return this.outage.over()
  }

  /** Whether one of these was not seen before in this outage. */
  news(rows: readonly PendingRow[]): boolean {
    const before = this.#seen
    for (const { partition, sequence } of rows) {
      if (sequence <= (this.#highest[partition] ?? -1n)) continue
      this.#highest[partition] = sequence
      this.#seen++
    }
    return this.#seen > before
  }

  /** For how long a row is put aside: until the next try; where there are very many, longer, so that the database has time for other channels. */
  asideMs(): number {
    const { clock, random } = this.#world
    const many = Math.min(this.#seen * ASIDE_MS_EACH, LONGEST_ASIDE_MS) * (0.5 + random() / 2)
    const leftMs = this.outage.dueAt - clock.now()
    return Math.ceil(Math.max(this.#growth.minMs, many, leftMs > 0 ? leftMs : this.outage.waitMs))
  }
}

/** First rows of their keys, and those behind them. Rows of `seen` keys are behind. */
export function headsOf(
  rows: readonly PendingRow[],
  seen: Set<string> = new Set(),
): { readonly heads: readonly PendingRow[]; readonly behind: readonly PendingRow[] } {
  const heads: PendingRow[] = []
  const behind: PendingRow[] = []
  for (const row of rows) {
    const { key } = row.envelope
    if (key !== undefined && seen.has(key)) behind.push(row)
    else heads.push(row)
    if (key !== undefined) seen.add(key)
  }
  return { heads, behind }
}
