// The memory of a fault server: exact counts, a bounded record of requests, and promises that wait for a count instead of sleeping.
import type { SeenRequest } from './behaviour.ts'

/**
 * What the server saw since it was made or last cleared. A path may carry a method (`'POST /orders'`); without a path: all of them.
 * Counts are exact however many requests there were.
 */
export interface Seen {
  /** Connections accepted. */
  readonly connections: number
  /** Connections open at this moment. */
  readonly open: number
  /** TLS handshakes that the server saw finished. In TLS 1.3 that may come before the client has judged the certificate. */
  readonly handshakes: number
  /** HTTP/2 streams opened by clients. */
  readonly streams: number
  /** Requests whose head was read whole. */
  requests(path?: string): number
  /** Requests whose body was read whole as well; a request without one counts. */
  bodies(path?: string): number
  /** Requests whose client went away before the server was done with them. */
  aborted(path?: string): number
  /** Requests and connections that met the behaviour of this name. */
  behaviours(name: string): number
}

interface Tally {
  requests: number
  bodies: number
  arrived: number
  aborted: number
}

/** A request while it is being read. */
export interface RequestRecord extends SeenRequest {
  behaviour: string
  addBody(chunk: Uint8Array): void
  /** The body was read to its end. */
  completed(): void
  /** It was read as far as its behaviour wants. */
  arrived(): void
  aborted(): void
}

type Arrival = Omit<SeenRequest, 'path' | 'body' | 'bodyBytes' | 'bodyComplete' | 'text' | 'behaviour'>

/** The writing side of `Seen`. */
export interface Recorder {
  readonly seen: Seen
  readonly requests: readonly SeenRequest[]
  connected(): number
  disconnected(): void
  handshake(): void
  stream(): void
  request(head: Arrival): RequestRecord
  behaviour(name: string): void
  arrived(path: string | undefined): number
  /** Resolves when `count()` reaches `atLeast`; rejects when the server closes before that. */
  until(what: string, count: () => number, atLeast: number): Promise<void>
  clear(): void
  close(): void
}

interface Waiter {
  readonly what: string
  readonly count: () => number
  readonly atLeast: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** The target without query and fragment; the path of an absolute URL. */
function pathOf(target: string): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '')
  return path === '' ? '/' : path
}

/** Makes the memory. At most `keepRequests` requests are recorded (the newest), each with at most `keepBodyBytes` of its body. */
export function createRecorder(keepRequests: number, keepBodyBytes: number): Recorder {
  const tallies = new Map<string, Tally>()
  const behaviours = new Map<string, number>()
  const requests: SeenRequest[] = []
  const waiters = new Set<Waiter>()
  let [connections, open, handshakes, streams, lastId] = [0, 0, 0, 0, 0]

  const ALL = ''
  const tally = (key: string): Tally => {
    let found = tallies.get(key)
    if (found === undefined) tallies.set(key, (found = { requests: 0, bodies: 0, arrived: 0, aborted: 0 }))
    return found
  }
  const read = (field: keyof Tally, path: string | undefined): number => tallies.get(path ?? ALL)?.[field] ?? 0
  const changed = (): void => {
    for (const waiter of waiters) {
      if (waiter.count() < waiter.atLeast) continue
      waiters.delete(waiter)
      waiter.resolve()
    }
  }

  const seen: Seen = {
    get connections() {
      return connections
    },
    get open() {
      return open
    },
    get handshakes() {
      return handshakes
    },
    get streams() {
      return streams
    },
    requests: (path) => read('requests', path),
    bodies: (path) => read('bodies', path),
    aborted: (path) => read('aborted', path),
    behaviours: (name) => behaviours.get(name) ?? 0,
  }

  function request(head: Arrival): RequestRecord {
    const path = pathOf(head.target)
    const keys = [ALL, path, `${head.method} ${path}`]
    const count = (field: keyof Tally): void => {
      for (const key of keys) tally(key)[field]++
      changed()
    }
    const chunks: Uint8Array[] = []
    let [kept, bodyBytes, bodyComplete] = [0, 0, false]
    const record: RequestRecord = {
      ...head,
      path,
      behaviour: '',
      get body() {
        return Buffer.concat(chunks)
      },
      get bodyBytes() {
        return bodyBytes
      },
      get bodyComplete() {
        return bodyComplete
      },
      text: () => Buffer.concat(chunks).toString('utf8'),
      addBody(chunk) {
        bodyBytes += chunk.length
        if (kept >= keepBodyBytes) return
        const part = chunk.subarray(0, keepBodyBytes - kept)
        kept += part.length
        chunks.push(part)
      },
      completed() {
        bodyComplete = true
        count('bodies')
      },
      arrived: () => count('arrived'),
      aborted: () => count('aborted'),
    }
    requests.push(record)
    if (requests.length > keepRequests) requests.shift()
    count('requests')
    return record
  }

  return {
    seen,
    requests,
    connected() {
      connections++
      open++
      changed()
      return ++lastId
    },
    disconnected() {
      open--
      changed()
    },
    handshake() {
      handshakes++
      changed()
    },
    stream() {
      streams++
      changed()
    },
    request,
    behaviour(name) {
      behaviours.set(name, (behaviours.get(name) ?? 0) + 1)
      changed()
    },
    arrived: (path) => read('arrived', path),
    until: (what, count, atLeast) =>
      new Promise((resolve, reject) => {
        if (count() >= atLeast) resolve()
        else waiters.add({ what, count, atLeast, resolve, reject })
      }),
    clear() {
      tallies.clear()
      behaviours.clear()
      requests.length = 0
      connections = handshakes = streams = 0
    },
    close() {
      for (const { what, count, atLeast, reject } of waiters) {
        reject(new Error(`The fault server was closed while waiting for ${atLeast} ${what}; it had seen ${count()}.`))
      }
      waiters.clear()
    },
  }
}
