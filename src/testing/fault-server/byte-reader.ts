// Reads a socket piece by piece, so that the server can stop at any byte. Flowing, so that a closed client is noticed at once.
import type { Socket } from 'node:net'

/** Reads what a socket receives, in order. Each method resolves to undefined once the peer has ended. */
export interface ByteReader {
  /** Up to and including the delimiter. Undefined too when that takes more than `limit` bytes. */
  until(delimiter: string, limit: number): Promise<Buffer | undefined>
  /** At least one byte, at most `max`. */
  some(max: number): Promise<Buffer | undefined>
  /** Waits for the first byte without taking it. */
  peek(): Promise<number | undefined>
}

const HIGH_WATER = 1 << 20

/** Takes over the socket's data. */
export function createByteReader(socket: Socket): ByteReader {
  let chunks: Buffer[] = []
  let size = 0
  let ended = false
  let wake: (() => void) | undefined

  const end = (): void => {
    ended = true
    wake?.()
  }
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > HIGH_WATER) socket.pause()
    wake?.()
  })
  socket.on('end', end)
  socket.on('close', end)

  const more = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve
      if (socket.isPaused()) socket.resume()
    })
  const take = (count: number): Buffer => {
    const whole = Buffer.concat(chunks)
    chunks = count < whole.length ? [whole.subarray(count)] : []
    size = whole.length - count
    return whole.subarray(0, count)
  }
  const peek = async (): Promise<number | undefined> => {
    while (size === 0 && !ended) await more()
    return chunks.find((chunk) => chunk.length > 0)?.[0]
  }

  return {
    peek,
    async until(delimiter, limit) {
      for (;;) {
        const whole = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
        chunks = [whole]
        const at = whole.indexOf(delimiter)
        if (at >= 0) return take(at + delimiter.length)
        if (ended || whole.length > limit) return undefined
        await more()
      }
    },
    some: async (max) => ((await peek()) === undefined ? undefined : take(Math.min(max, size))),
  }
}
