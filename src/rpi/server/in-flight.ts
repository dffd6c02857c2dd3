// Counts requests until nothing of them is left: neither work nor an answer that is still being sent.

/** Requests in flight, and the way to wait for their end. */
export class InFlight {
  count = 0
  #idle: (() => void)[] = []

  /** Resolves as soon as there is none. */
  idle(): Promise<void> {
    return this.count === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Takes a place that is freed when every hold on it is released. */
  enter(): Place {
    this.count++
    return new Place(() => {
      if (--this.count > 0) return
      for (const resolve of this.#idle.splice(0)) resolve()
    })
  }
}

/** One request in flight. */
export class Place {
  readonly #leave: () => void
  #holds = 0

  constructor(leave: () => void) {
    this.#leave = leave
  }

  /** Holds the place until the function that is returned is called (once). */
  hold(): () => void {
    this.#holds++
    let held = true
    return () => {
      if (!held) return
      held = false
      if (--this.#holds === 0) this.#leave()
    }
  }
}
