// One pool of connections an endpoint, so that a pick is a pick: what goes to an endpoint goes to its address.
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Endpoint } from '../../core/contracts/source.ts'
import type { HttpSettings, HttpTls } from './options.ts'
import { type HttpDispatcher, type OwnDispatcher, undici } from './undici.ts'

/** Where one request goes. */
export interface Route {
  readonly dispatcher: HttpDispatcher
  readonly origin: string
  /** The Host header, where it is not the host of `origin`. */
  readonly host: string | undefined
}

/** Gives each endpoint its pool. */
export interface Pools {
  /** Without an endpoint: the base URL. */
  route(endpoint: Endpoint | undefined): Route
  /** The endpoint of this id is gone: its pool closes once what is being sent on it has ended. */
  release(id: string): void
  /** Waits for what is being sent, then closes all connections. */
  close(): Promise<void>
  /** Breaks off what is being sent. */
  destroy(error?: Error | undefined): Promise<void>
}

interface Entry extends Route {
  endpoint: Endpoint
  readonly pool: OwnDispatcher | undefined
  used: boolean
}

// More pools than this at once are endpoints that come and go; those used least lately are closed.
const MOST_POOLS = 1_000
// A pool that was not used for one whole round is closed: its endpoint is gone, or idle, which costs a connect at most.
const ROUND_MS = 60_000

/** Makes the pools of one transport. */
export function createPools(settings: HttpSettings): Pools {
  const { base, clock } = settings
  if (base !== undefined) return onePool(settings, base.origin)
  const entries = new Map<string, Entry>()
  const closing = new Set<Promise<unknown>>()
  const housekeeping = createHousekeeping(clock, () => {
    for (const [id, entry] of entries) {
      if (entry.used) entry.used = false
      else forget(id, entry)
    }
    return entries.size > 0
  })

  const forget = (id: string, entry: Entry): void => {
    entries.delete(id)
    if (entry.pool === undefined) return
    const end = entry.pool.close().catch(() => {})
    closing.add(end)
    end.then(() => closing.delete(end))
  }
  const make = (endpoint: Endpoint): Entry => {
    if (entries.size >= MOST_POOLS) {
      const oldest = [...entries].find(([, entry]) => !entry.used) ?? entries.entries().next().value
      if (oldest !== undefined) forget(...oldest)
    }
    const entry = entryOf(endpoint, settings)
    entries.set(endpoint.id, entry)
    housekeeping.start()
    return entry
  }

  return {
    route(endpoint) {
      if (endpoint === undefined) throw new TypeError('a transport with discovery is called through its pick')
      let entry = entries.get(endpoint.id)
      if (entry === undefined) return make(endpoint)
      if (entry.endpoint !== endpoint) {
        // A refresh gives new objects; only a new address needs a new pool.
        if (samePlace(entry.endpoint, endpoint)) entry.endpoint = endpoint
        else {
          forget(endpoint.id, entry)
          entry = make(endpoint)
        }
      }
      entry.used = true
      return entry
    },
    release(id) {
      const entry = entries.get(id)
      if (entry !== undefined) forget(id, entry)
    },
    async close() {
      housekeeping.stop()
      for (const [id, entry] of entries) forget(id, entry)
      await Promise.all(closing)
    },
    async destroy(error) {
      housekeeping.stop()
      const ends = [...entries.values()].map(({ pool }) => pool?.destroy(error))
      entries.clear()
      await Promise.all(ends)
    },
  }
}

function onePool(settings: HttpSettings, origin: string): Pools {
  let pool: OwnDispatcher | undefined
  let route: Route | undefined
  return {
    route() {
      if (route !== undefined) return route
      if (settings.dispatcher === undefined) pool = openPool(origin, settings, undefined, undefined)
      return (route = { dispatcher: settings.dispatcher ?? (pool as OwnDispatcher), origin, host: undefined })
    },
    release() {},
    async close() {
      await pool?.close()
    },
    async destroy(error) {
      await pool?.destroy(error)
    },
  }
}

function entryOf(endpoint: Endpoint, settings: HttpSettings): Entry {
  const address = endpoint.addresses[0] as { readonly host: string; readonly port: number }
  const scheme = endpoint.secure === true ? 'https' : 'http'
  const direct = `${bracketed(address.host)}:${address.port}`
  const { hostname } = endpoint
  if (settings.dispatcher !== undefined) {
    // Somebody else's dispatcher cannot be told where a name lives: it is given the address, and the name as Host.
    const host = hostname === undefined ? undefined : `${hostname}:${address.port}`
    return {
      endpoint,
      dispatcher: settings.dispatcher,
      origin: `${scheme}://${direct}`,
      host,
      pool: undefined,
      used: true,
    }
  }
  const origin = `${scheme}://${hostname === undefined ? direct : `${hostname}:${address.port}`}`
  const pinned =
    hostname === undefined && endpoint.addresses.length === 1 ? undefined : endpoint.addresses.map((each) => each.host)
  const pool = openPool(origin, settings, pinned, hostname)
  return { endpoint, dispatcher: pool, origin, host: undefined, pool, used: true }
}

function openPool(
  origin: string,
  settings: HttpSettings,
  pinned: readonly string[] | undefined,
  hostname: string | undefined,
): OwnDispatcher {
  const { Pool, buildConnector } = undici()
  const { allowH2, connectTimeoutMs } = settings
  const tls: HttpTls =
    hostname === undefined || settings.tls.servername !== undefined
      ? settings.tls
      : { ...settings.tls, servername: hostname }
  const connect = buildConnector({
    ...tls,
    allowH2,
    timeout: connectTimeoutMs,
    ...(pinned === undefined ? {} : { lookup: pinnedLookup(pinned) }),
  })
  // Connections unlimited: our cap is the only gate, and a cancelled request that waits for a connection would cost one.
  // Timeouts off: ours are exact, undici's are about a second coarse.
  return new Pool(origin, {
    allowH2,
    headersTimeout: 0,
    bodyTimeout: 0,
    // A connection serves many calls, so it must not live in the async context of the first.
    connect: ((options, callback) => detached(() => connect(options, callback))) satisfies typeof connect,
  })
}

type Found = (error: Error | null, address: unknown, family?: number) => void

// The name stays in Host and SNI; where it lives is the word of discovery.
function pinnedLookup(
  hosts: readonly string[],
): (name: string, options: { readonly all?: boolean }, callback: Found) => void {
  const addresses = hosts.map((address) => ({ address, family: isIP(address) }))
  return (_name, options, callback) => {
    const first = addresses[0] as { readonly address: string; readonly family: number }
    if (first.family === 0) process.getBuiltinModule('node:dns').lookup(first.address, options, callback as never)
    else if (options.all === true)
      callback(
        null,
        addresses.filter((each) => each.family !== 0),
      )
    else callback(null, first.address, first.family)
  }
}

// Loaded with the first pool: importing fairlead must cost next to nothing.
function isIP(address: string): number {
  return process.getBuiltinModule('node:net').isIP(address)
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host
}

function samePlace(one: Endpoint, other: Endpoint): boolean {
  return (
    one.hostname === other.hostname &&
    one.secure === other.secure &&
    one.addresses.length === other.addresses.length &&
    one.addresses.every(
      (address, index) =>
        address.host === other.addresses[index]?.host && address.port === other.addresses[index]?.port,
    )
  )
}

// Runs while there is something to look after; never keeps the process up.
function createHousekeeping(clock: Clock, round: () => boolean): { start(): void; stop(): void } {
  let timer: Timer | undefined
  const arm = (): void => {
    timer = detached(() => clock.setTimer(run, ROUND_MS, undefined))
    clock.unref(timer)
  }
  const run = (): void => {
    timer = undefined
    if (round()) arm()
  }
  return {
    start() {
      if (timer === undefined) arm()
    },
    stop() {
      if (timer !== undefined) clock.clearTimer(timer)
      timer = undefined
    },
  }
}
