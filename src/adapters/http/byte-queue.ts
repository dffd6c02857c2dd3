// Chunks between a socket that pushes and a reader that pulls: the socket is paused while enough lies ready.

/** Pushed from one side, read once from the other. */
export interface ByteQueue extends AsyncIterable<Uint8Array> {
  push(chunk: Uint8Array): void
  end(): void
  /** What lies ready is dropped; the reader gets the reason. */
  fail(reason: unknown): void
}

const HIGH_WATER = 65_536

interface Reader {
  readonly resolve: (result: IteratorResult<Uint8Array>) => void
  readonly reject: (reason: unknown) => void
}

/** Makes a queue that pauses its source above 64 KiB. */
export function createByteQueue(pause: () => void, resume: () => void): ByteQueue {
  const chunks: Uint8Array[] = []
  let size = 0
  let paused = false
  let over: { readonly reason?: unknown } | undefined
  let reader: Reader | undefined

  const settle = (to: Reader): void => {
    if (over !== undefined && 'reason' in over) to.reject(over.reason)
    else to.resolve({ done: true, value: undefined })
  }
  return {
    push(chunk) {
      if (over !== undefined) return
      if (reader !== undefined) {
        const to = reader
        reader = undefined
        return to.resolve({ done: false, value: chunk })
      }
      chunks.push(chunk)
      size += chunk.length
      if (size >= HIGH_WATER && !paused) {
        paused = true
        pause()
      }
    },
    end() {
      if (over !== undefined) return
      over = {}
      if (reader !== undefined) settle(reader)
    },
    fail(reason) {
      if (over !== undefined && 'reason' in over) return
      over = { reason }
      chunks.length = 0
      if (reader !== undefined) settle(reader)
      reader = undefined
    },
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve, reject) => {
          const chunk = chunks.shift()
          if (chunk !== undefined) {
            size -= chunk.length
            if (paused && size < HIGH_WATER) {
              paused = false
              resume()
            }
            resolve({ done: false, value: chunk })
          } else if (over !== undefined) settle({ resolve, reject })
          else reader = { resolve, reject }
        }),
    }),
  }
}
