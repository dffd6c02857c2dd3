// Who may send, and when: so many requests at once to a place, and one message of a key after the other.
import type { Scope } from './scope.ts'

/** So many at once; the others wait in the order they came. */
export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(most: number) {
    this.#free = most
  }

  /** False if the scope ended first: then there is nothing to give back. */
  take(scope: Scope): Promise<boolean> | boolean {
    if (scope.ending !== undefined) return false
    if (this.#free > 0) {
      this.#free--
      return true
    }
    return new Promise((resolve) => {
      const mine = (): void => {
        stop()
        resolve(true)
      }
      const stop = scope.onEnd(() => {
        this.#waiting.delete(mine)
        resolve(false)
      })
      this.#waiting.add(mine)
    })
  }

  release(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else {
      this.#waiting.delete(next)
      next()
    }
  }
}

/** What has the same name runs one after the other, in the order it came. */
export class Lanes {
  readonly #last = new Map<string, Promise<void>>()

  /** Runs `work` once everything before it in the lane is over, or the scope ends: `work` looks at the scope first. */
  async run(lane: string, scope: Scope, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(lane)
    let over: () => void = () => {}
    const done = new Promise<void>((resolve) => {
      over = resolve
    })
    // Given up while it waits, it must not let those behind it pass those before it.
    const last = before === undefined ? done : Promise.all([before, done]).then(() => {})
    this.#last.set(lane, last)
    void last.then(() => {
      if (this.#last.get(lane) === last) this.#last.delete(lane)
    })
    try {
      if (before !== undefined) await orEnd(before, scope)
      await work()
    } finally {
      over()
    }
  }
}

function orEnd(before: Promise<void>, scope: Scope): Promise<void> {
  if (scope.ending !== undefined) return Promise.resolve()
  return new Promise((resolve) => {
    const stop = scope.onEnd(resolve)
    void before.then(() => {
      stop()
      resolve()
    })
  })
}
