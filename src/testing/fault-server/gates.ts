// Holding a response until the test says so: this is what makes "slow" and "hung" exact, without a clock.
import { ClientGone } from './behaviour.ts'

/** The gate of one request or connection. */
export interface Gate {
  /** Waits until released. */
  hold(): Promise<void>
  /** Waits until one more byte is allowed, or released. */
  nextDrip(): Promise<void>
  /** The client is gone: whoever waits gets ClientGone. */
  leave(): void
}

/** All gates of a server. */
export interface Gates {
  /** `keys`: what it can be released by. */
  enter(keys: readonly string[]): Gate
  /** Opens every gate with that key (all without one), for now: later ones are closed again. Returns how many. */
  release(key?: string): number
  /** Allows so many bytes more at every gate with that key. Returns at how many. */
  drip(key: string | undefined, bytes: number): number
}

interface State {
  readonly keys: readonly string[]
  released: boolean
  gone: boolean
  bytes: number
  wake: (() => void) | undefined
}

/** Makes the gates of one server. */
export function createGates(): Gates {
  const all = new Set<State>()

  const change = (key: string | undefined, apply: (state: State) => void): number => {
    let count = 0
    for (const state of all) {
      if (key !== undefined && !state.keys.includes(key)) continue
      count++
      apply(state)
      state.wake?.()
    }
    return count
  }

  return {
    enter(keys) {
      const state: State = { keys, released: false, gone: false, bytes: 0, wake: undefined }
      all.add(state)
      const until = async (ready: () => boolean): Promise<void> => {
        while (!state.gone && !ready()) {
          await new Promise<void>((resolve) => {
            state.wake = resolve
          })
        }
        if (state.gone) throw new ClientGone()
      }
      return {
        hold: () => until(() => state.released),
        async nextDrip() {
          await until(() => state.released || state.bytes > 0)
          if (state.bytes > 0) state.bytes--
        },
        leave() {
          state.gone = true
          all.delete(state)
          state.wake?.()
        },
      }
    },
    release: (key) =>
      change(key, (state) => {
        state.released = true
      }),
    drip: (key, bytes) =>
      change(key, (state) => {
        state.bytes += bytes
      }),
  }
}
