// What is away, some channels or the transport as a whole, and since when: it decides what may be sent, what is only tried, and what is put aside in the store meanwhile.
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { ChannelAddress } from '../../core/message.ts'
import type { FairleadError } from '../../errors/base.ts'
import { nameOf } from './hand.ts'
import { Outage } from './outage.ts'
import type { RelaySettings } from './relay-options.ts'
import type { RelayTeller } from './relay-telling.ts'
import { Standing } from './standing.ts'
import { Turns } from './turns.ts'

/** Who is told of what is away. */
export interface OutagesHost {
  /** To be settled. */
  verdict(row: PendingRow, verdict: RowVerdict): void
  failed(error: unknown): FairleadError
  /** Nothing gets through. */
  away(error: FairleadError): void
  /** Something gets through again. */
  back(): void
  /** The next try of a channel, or a transport, that is away is due. */
  due(): void
}

/** How all channels fare, since the relay was started. */
export class Outages {
  readonly #settings: RelaySettings
  readonly #clock: RelaySettings['world']['clock']
  readonly #teller: RelayTeller
  readonly #host: OutagesHost
  /** Lets go of all rows that wait. */
  readonly #letGo: () => void
  /** Of the transport. */
  readonly #outage: Outage
  /** By name. */
  readonly #standings: Map<string, Standing>
  /** Those that are away. */
  readonly #away: Map<string, Standing>
  readonly turns: Turns
  /** Rows that were put aside are seen again by then. */
  #asideUntil: number

  constructor(settings: RelaySettings, teller: RelayTeller, host: OutagesHost, letGo: () => void) {
    this.#settings = settings
    this.#clock = settings.world.clock
    this.#teller = teller
    this.#host = host
    this.#letGo = letGo
    this.#outage = new Outage(settings.outageBackoff, settings.world, () => host.due())
    this.#standings = new Map()
    this.#away = new Map()
    this.turns = new Turns()
    this.#asideUntil = -Infinity
  }

  /** Whether nothing gets through. `due`: but it may be tried. */
  get all(): 'no' | 'on' | 'due' {
    return this.#outage.on ? (this.#outage.due ? 'due' : 'on') : 'no'
  }

  /** Channels that are away, by name. */
  get away(): ReadonlyMap<string, Standing> {
    return this.#away
  }

  /** Whether a channel is not away, by its name. */
  readonly isOpen = (name: string): boolean => !this.#away.has(name)

  /** Of one channel. */
  standingOf(channel: ChannelAddress): Standing {
    const name = nameOf(channel)
    let standing = this.#standings.get(name)
    if (standing === undefined) {
      const { outageBackoff, world } = this.#settings
      standing = new Standing(channel, outageBackoff, world, () => {
        // It is tried with all the others.
        if (!this.#outage.on) this.#host.due()
      })
      this.#standings.set(name, standing)
    }
    return standing
  }

  /** Whether there is a channel of which the last that is known is that something got through. */
  anyWell(): boolean {
    for (const { well } of this.#standings.values()) if (well) return true
    return false
  }

  /** There is something new while nothing gets through: it is tried, no sooner than so long after the last try. */
  sooner(atLeastMs: number): void {
    this.#outage.sooner(atLeastMs)
  }

  /** Channels that are away are tried now. */
  trySoon(): void {
    for (const { outage } of this.#away.values()) outage.sooner(0)
  }

  /** Tries nothing any more. */
  stop(): void {
    this.#outage.stop()
    for (const { outage } of this.#away.values()) outage.stop()
  }

  /** Puts a row aside in the store until its channel is tried again, or so many times as long. */
  putAside(row: PendingRow, standing: Standing, reason: string, times = 1): void {
    const { sequence } = row
    const delayMs = standing.asideMs() * times
    this.#asideUntil = Math.max(this.#asideUntil, this.#clock.now() + delayMs)
    this.#host.verdict(row, { sequence, verdict: 'retry', delayMs, reason, counts: false })
  }

  /** Somebody at the other end of the channel was there. `running`: it goes on. */
  alive(standing: Standing, running: boolean): void {
    const { channel, told } = standing
    const channelMs = standing.through()
    standing.told = false
    if (channelMs !== undefined) this.#away.delete(nameOf(channel))
    const afterMs = this.#outage.over()
    if (this.#away.size === 0) this.turns.clear()
    if (!running) return
    if (told && channelMs !== undefined) this.#teller.resumed(channelMs, channel)
    if (afterMs === undefined) return
    this.#teller.resumed(afterMs)
    // The others may be back as well.
    this.trySoon()
    this.#host.back()
  }

  /** The table has nothing to try, and nothing is out: what nothing got through of was skipped, or is another's. `running`: it goes on. */
  nothingThere(running: boolean): void {
    if (!this.#outage.due || this.#clock.now() < this.#asideUntil) return
    const afterMs = this.#outage.over()
    if (afterMs === undefined || !running) return
    this.turns.clear()
    this.#teller.resumed(afterMs)
    this.#host.back()
  }

  /** Nothing of the channel gets through. Says whether nothing gets through at all. */
  isAllAway(standing: Standing, error: FairleadError): boolean {
    const { channel, outage } = standing
    // Those that were under way when it began say nothing new.
    const isNew = !outage.on || outage.due
    const waitMs = isNew ? outage.failed() : 0
    standing.well = false
    this.#away.set(nameOf(channel), standing)
    if (this.#outage.on) {
      if (this.#outage.due) this.#backOff(error)
      return true
    }
    if (!this.anyWell()) {
      this.#backOff(error)
      return true
    }
    if (isNew) {
      standing.told = true
      this.#host.failed(error)
      this.#teller.backingOff(waitMs, error, channel)
    }
    return false
  }

  #backOff(error: FairleadError): void {
    const waitMs = this.#outage.failed()
    this.#host.failed(error)
    this.#teller.backingOff(waitMs, error)
    this.#letGo()
    this.#host.away(error)
  }
}
