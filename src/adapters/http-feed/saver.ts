// Saves the progress of a group: one save at a time, and whatever comes meanwhile goes into the next one together.
import { detached } from '../../core/async-context.ts'

interface Turn {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Saves a text that changes. */
export class Saver {
  private readonly text: () => string
  private readonly write: (text: string) => Promise<void>
  private saved: string
  private running: Promise<void> | undefined
  private turn: Turn | undefined

  /** @param write rejects where it could not be saved */
  constructor(text: () => string, saved: string, write: (text: string) => Promise<void>) {
    this.text = text
    this.saved = saved
    this.write = write
  }

  /** Resolves once a text at least as new as the one of now is saved. */
  save(): Promise<void> {
    if (this.turn === undefined) {
      let resolve: () => void = () => {}
      let reject: (error: unknown) => void = () => {}
      const promise = new Promise<void>((done, failed) => {
        resolve = done
        reject = failed
      })
      this.turn = { promise, resolve, reject }
      // What is settled within the same turn is saved together.
      if (this.running === undefined) detached(() => queueMicrotask(() => this.run()))
    }
    return this.turn.promise
  }

  private run(): void {
    const { turn } = this
    if (turn === undefined) return
    this.turn = undefined
    const text = this.text()
    const work = text === this.saved ? Promise.resolve() : this.write(text)
    this.running = work.then(
      () => {
        this.saved = text
        turn.resolve()
      },
      (error: unknown) => {
        turn.reject(error)
      },
    )
    void this.running.then(() => {
      this.running = undefined
      this.run()
    })
  }
}
