// Looks for requests whose time is over, and has their timeouts delivered. Any number of processes may look at once.
import { detached } from '../../core/async-context.ts'
import type { FairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import type { World } from '../../policies/seams.ts'
import { Alarm, grown } from '../outbox/waits.ts'
import { Ticks } from './stored-ticks.ts'

/** What a scan works with. */
export interface ScanParts {
  readonly world: World
  readonly everyMs: number
  /** Ids whose time is over, at most so many. */
  due(limit: number): Promise<readonly string[]>
  /** Moves one on, in a transaction of its own. */
  expire(id: string): Promise<void>
  failed(error: FairleadError): void
}

// How late a timeout may be told, so that many that come together are looked for once; and how many are remembered.
const GRID_MS = 100
const MOST_TICKS = 10_000
const AT_ONCE = 100
/** In a round: the next one begins at the front. */
const MOST_MET = 100_000
const SIDE_BY_SIDE = 8
const FIRST_MS = 200
const FIRST_LOOK_MS = 1_000

/** Looks regularly, when a request of this process runs out, and again at once while there is more. */
export class Scan {
  readonly #parts: ScanParts
  readonly #ticks: Ticks
  readonly #alarm: Alarm
  #running: Promise<void> | undefined
  #failures: number
  #on: boolean

  constructor(parts: ScanParts) {
    this.#parts = parts
    this.#ticks = new Ticks(GRID_MS, MOST_TICKS)
    this.#alarm = new Alarm(parts.world.clock, () => this.#look())
    this.#running = undefined
    this.#failures = 0
    this.#on = false
  }

  start(): void {
    if (this.#on) return
    this.#on = true
    // What ran out while nobody looked; but a reply that came in meanwhile has the first word.
    this.#alarm.set(Math.min(FIRST_LOOK_MS, this.#parts.everyMs))
  }

  /** A request of this process runs out then, milliseconds since 1970. */
  at(until: number): void {
    this.#ticks.add(until)
    if (this.#on && this.#running === undefined && this.#failures === 0) this.#sleep()
  }

  /** Resolves when nothing of it goes on. */
  async stop(): Promise<void> {
    this.#on = false
    this.#alarm.clear()
    await this.#running
  }

  #look(): void {
    if (!this.#on || this.#running !== undefined) return
    // It belongs to no request and to no message.
    this.#running = detached(() => this.#round()).finally(() => {
      this.#running = undefined
      this.#sleep()
    })
  }

  async #round(): Promise<void> {
    const { world } = this.#parts
    // Each is met once in a round. What is still due afterwards, because nobody can read it perhaps, is paged past: it must not hide those behind it.
    const met = new Set<string>()
    const failures: unknown[] = []
    try {
      for (let limit = AT_ONCE, more = true; more && this.#on; ) {
        this.#ticks.passed(world.clock.wallNow())
        const due = await this.#parts.due(limit)
        const ids = due.filter((id) => !met.has(id))
        for (const id of ids) met.add(id)
        const failed = await this.#expireAll(ids)
        failures.push(...failed)
        const next = AT_ONCE + due.length - ids.length + failed.length
        // Whatever the database says of one row now, it says of the next one.
        const goesOn = met.size < MOST_MET && !failed.some((error) => classify(error).transient)
        more = due.length >= limit && (ids.length > 0 || next > limit) && goesOn
        limit = next
      }
      if (failures.length > 0) throw failures[0]
      this.#failures = 0
    } catch (error) {
      this.#failures++
      this.#parts.failed(classify(error))
    }
  }

  // One that fails keeps none of the others.
  async #expireAll(ids: readonly string[]): Promise<readonly unknown[]> {
    const failures: unknown[] = []
    const left = [...ids]
    const work = async (): Promise<void> => {
      for (let id = left.shift(); id !== undefined && this.#on; id = left.shift())
        try {
          await this.#parts.expire(id)
        } catch (error) {
          failures.push(error)
        }
    }
    await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, ids.length) }, work))
    return failures
  }

  #sleep(): void {
    if (!this.#on) return
    const { world, everyMs } = this.#parts
    const { clock, random } = world
    if (this.#failures > 0) {
      this.#alarm.set(grown({ minMs: FIRST_MS, maxMs: Math.max(everyMs, FIRST_MS) }, this.#failures, random))
      return
    }
    const own = Math.max(0, this.#ticks.next - clock.wallNow())
    // Several processes do not look all at the same time.
    const regular = this.#alarm.at === Infinity ? everyMs * (0.5 + random() / 2) : Infinity
    this.#alarm.atLatest(Math.min(own, regular))
  }
}
