// A request that is answered without being read.

/** What is used of a request of `node:http`. */
interface Readable {
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  destroy(): unknown
  resume(): unknown
}

/** What was answered without being read is read and thrown away, so that the sender gets to see the answer; but not for ever: eight times the limit. */
export function discard(request: Readable, limit: number): void {
  let most = limit * 8
  request.on('data', (chunk) => {
    most -= chunk.length
    if (most < 0) request.destroy()
  })
  request.resume()
}
