// One service: a process that dies and is started again, a database that survives it, and a door at which callers see in what way it is down.
import { createOutbox, createRelay } from 'fairlead'
import { type Closable, type MessageTransport, type Random, sleep } from 'fairlead/core'
import {
  type FetchServer,
  type MemoryBroker,
  type MemoryStore,
  type MemoryTx,
  memoryDatabase,
  memoryStore,
  memoryTransport,
} from 'fairlead/memory'
import type { Outbox } from 'fairlead/messaging'
import { type FakeClock, seededRandom } from 'fairlead/testing'
import type { Mode, Outage } from './outages.ts'

/** What all machines of a run share. */
export interface World {
  readonly clock: FakeClock
  readonly broker: MemoryBroker
  readonly seed: number
}

/** From one start of a process to its end. What was made in it ends with it; what it has committed stays. */
export interface Life {
  readonly seams: { readonly clock: FakeClock; readonly random: Random }
  readonly store: MemoryStore
  readonly transport: MessageTransport
  /** With its relay. Made when it is first asked for. */
  outbox(): Promise<Outbox<MemoryTx>>
  /** To be closed with this life. */
  owns<Part extends Closable>(part: Part): Part
  /** What the work itself takes, 5 to 15 ms. A life that has ended does not come back from it. */
  work(): Promise<void>
  ended(): boolean
}

/** Starts a service: answers what stands behind its door. */
export type Start = (life: Life) => Promise<FetchServer>

/** A service with its machine. */
export interface Machine {
  readonly name: string
  /** Where callers find it, up or down. */
  readonly door: FetchServer
  /** Its database, from outside. */
  readonly store: MemoryStore
  start(): Promise<void>
  /** Ends the process as `kill -9` does. */
  kill(mode: Mode): void
}

/** Puts a service on a machine; it is down until it is started. */
export function machine(world: World, name: string, begin: Start): Machine {
  const { clock, broker, seed } = world
  const database = memoryDatabase({ clock })
  const random = seededRandom(seed ^ hash(name))
  let ids = 0
  let mode: Mode | undefined = 'refuses'
  let server: FetchServer | undefined
  let end: () => void = () => {}
  let died: Promise<Response> = new Promise(() => {})

  const start = async (): Promise<void> => {
    const store = memoryStore({ database, inboxRetentionMs: 3_600_000 })
    const transport = memoryTransport({ broker })
    const parts: Closable[] = []
    const seams = { clock, random }
    let outbox: Promise<Outbox<MemoryTx>> | undefined
    let over = false
    const withRelay = async (): Promise<Outbox<MemoryTx>> => {
      const made = createOutbox(store, { ...seams, source: `/${name}`, newId: () => `${name}-${++ids}` })
      // It hears of commits in its own process: to look besides is for what an earlier life has left, and that is there at the start.
      const relay = createRelay({
        ...seams,
        outbox: made,
        transport,
        name,
        leaseMs: 600_000,
        poll: { minMs: 60_000, maxMs: 60_000 },
      })
      parts.push(relay)
      await relay.start()
      return made
    }
    const life: Life = {
      seams,
      store,
      transport,
      outbox: () => (outbox ??= withRelay()),
      owns: (part) => {
        parts.push(part)
        return part
      },
      async work() {
        await sleep(clock, 5 + 10 * random())
        if (over) await new Promise(() => {})
      },
      ended: () => over,
    }
    let lost: (error: Error) => void = () => {}
    died = new Promise((_, reject) => {
      lost = reject
    })
    died.catch(() => {})
    end = () => {
      over = true
      // Nothing of it is committed any more, and its connection to the broker is gone: what it held is handed to whoever comes next.
      store.crash()
      void transport.close()
      for (const part of parts) void (part as Ending).close({ withinMs: 0 }).catch(() => {})
      lost(systemError('ECONNRESET', 'read'))
    }
    server = await begin(life)
    mode = undefined
  }

  return {
    name,
    store: memoryStore({ database }),
    start,
    kill(how) {
      mode = how
      server = undefined
      end()
    },
    door: {
      async fetch(request) {
        if (mode === 'refuses') throw systemError('ECONNREFUSED', 'connect')
        if (mode === 'is silent') return new Promise(() => {})
        if (mode === 'answers 503' || server === undefined) return new Response(null, { status: 503 })
        return Promise.race([server.fetch(request), died])
      },
    },
  }
}

/** Has a machine go down and up by its schedule. */
export function schedule(world: World, { start, kill }: Machine, outages: readonly Outage[]): void {
  for (const { from, until, mode } of outages) {
    world.clock.setTimer(() => kill(mode), from, undefined)
    world.clock.setTimer(() => void start(), until, undefined)
  }
}

interface Ending {
  close(options: { readonly withinMs: number }): Promise<void>
}

// What Node throws: so the pipeline judges it as it would a socket.
function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall })
}

function hash(name: string): number {
  return [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7)
}
