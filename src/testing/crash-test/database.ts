// What the system of the user is given of a database: its name, and its facts once the run has begun.
import { invalidOption } from '../../core/options.ts'
import type { MemoryFacts } from './memory-stage.ts'
import type { StageDatabase } from './stage.ts'

/** A class: a getter of an object of its own is kept by V8 until the next full collection, and with it the run. */
export class Database {
  readonly name: string
  readonly #opened: ReadonlyMap<string, StageDatabase<unknown, unknown>>

  constructor(name: string, opened: ReadonlyMap<string, StageDatabase<unknown, unknown>>) {
    this.name = name
    this.#opened = opened
  }

  get facts(): unknown {
    const open = this.#opened.get(this.name)
    if (open === undefined)
      throw invalidOption(
        'facts',
        this.name,
        'the run has not begun: ask for facts in the invariant, not in the system',
      )
    return open.facts
  }

  // Of databases in memory; the type says so.
  get: (key: string) => unknown = (key) => (this.facts as MemoryFacts).get(key)
  entries: () => unknown = () => (this.facts as MemoryFacts).entries()
}
