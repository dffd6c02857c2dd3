// What this process remembers of messages that it gave back: which of their redeliveries say nothing against them, and, where no broker counts,
// how often they failed. A restart forgets it: then a message has a few tries less or more, never none.

/** Of one message. */
export interface Note {
  /** Given back unhandled, or through no fault of its own. */
  innocent: number
  /** Given back because its handler asked for it. */
  asked: number
  /** Given back after a failure. */
  failed: number
}

/** Notes by id; the oldest go first when there are too many. */
export class Notes {
  readonly #byId: Map<string, Note>
  readonly #max: number

  constructor(max: number) {
    this.#byId = new Map()
    this.#max = max
  }

  get(id: string): Note | undefined {
    return this.#byId.size === 0 ? undefined : this.#byId.get(id)
  }

  add(id: string, what: keyof Note): void {
    let note = this.#byId.get(id)
    if (note === undefined) {
      if (this.#byId.size >= this.#max) {
        const oldest = this.#byId.keys().next()
        if (oldest.done !== true) this.#byId.delete(oldest.value)
      }
      note = { innocent: 0, asked: 0, failed: 0 }
    } else this.#byId.delete(id)
    this.#byId.set(id, note)
    note[what]++
  }

  forget(id: string): void {
    if (this.#byId.size > 0) this.#byId.delete(id)
  }
}
