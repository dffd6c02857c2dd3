// When messages are handed out: soon, never from within the call that made it possible, and never so long that nothing else has its turn.
import { detached } from '../../core/async-context.ts'
import { nextTurn } from '../../core/clock.ts'
import { Ring } from './ring.ts'

/** Something that has work to do when its turn comes. */
export interface Work {
  /** Kept by `Turns`: it stands in the line already. */
  asked: boolean
  /** Does at most so much, says how much it did, and asks again where it is not done. */
  drain(most: number): number
}

// Messages sent, and messages handed out, before the event loop has a turn: some milliseconds of handlers.
const MOST_A_TURN = 1000

/** One line for a whole broker. */
export class Turns {
  private readonly line = new Ring<Work>()
  private running = false
  private done = 0
  private sent = 0

  ask(work: Work): void {
    if (work.asked) return
    work.asked = true
    this.line.push(work)
    if (this.running) return
    this.running = true
    if (this.done < MOST_A_TURN) queueMicrotask(this.start)
    else nextTurn(afterTurn, this)
  }

  /**
   * The answer to somebody who sent so much. A sender in a loop would else keep the event loop for itself, and with it the receivers:
   * now and then its answer takes a turn.
   */
  paced<T>(count: number, answer: T): Promise<T> {
    this.sent += count
    if (this.sent < MOST_A_TURN) return Promise.resolve(answer)
    this.sent = 0
    return new Promise((resolve) => nextTurn(resolve, answer))
  }

  afterTurn(): void {
    this.done = 0
    this.start()
  }

  // Outside the async context of whoever asked: a sender's deadline must not become the receiver's.
  private readonly start = (): void => detached(this.run)

  private readonly run = (): void => {
    while (this.done < MOST_A_TURN) {
      const work = this.line.shift()
      if (work === undefined) {
        this.running = false
        return
      }
      work.asked = false
      this.done += work.drain(MOST_A_TURN - this.done)
    }
    if (this.line.size > 0) nextTurn(afterTurn, this)
    else this.running = false
  }
}

function afterTurn(turns: Turns): void {
  turns.afterTurn()
}
