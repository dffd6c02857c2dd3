// One pool of connections an endpoint, so that a pick is a pick: what goes to an endpoint goes to its address.
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Endpoint } from '../../core/contracts/source.ts'
import { createError } from '../../errors/classes.ts'
import type { HttpSettings, HttpTls } from './options.ts'
import { type HttpDispatcher, type OwnDispatcher, undici } from './undici.ts'

/** Where one request goes. */
export interface Route {
  readonly dispatcher: HttpDispatcher
  readonly origin: string
  /** The Host header, where it is not the host of `origin`. */
  readonly host: string | undefined
}

/** Gives each endpoint its pool. Services whose endpoints have the same id, name and addresses share one. */
export interface Pools {
  /**
   * Without an endpoint: the base URL.
   * @throws FairleadError SHUTDOWN: these pools are closed
   */
  route(endpoint: Endpoint | undefined, service?: string): Route
  /**
   * The endpoint of this id is gone from this service. Where no other has it, its pool closes once what is being sent on it has ended, and after
   * 30 seconds in any case.
   */
  release(id: string, service?: string): void
  /** Waits for what is being sent, then closes all connections. */
  close(): Promise<void>
  /** Breaks off what is being sent. */
  destroy(error?: Error | undefined): Promise<void>
}

interface Entry extends Route {
  endpoint: Endpoint
  readonly place: string
  readonly holders: Set<Holder>
  readonly pool: OwnDispatcher | undefined
  used: boolean
}

/** One service: its endpoints by their ids. */
interface Holder {
  readonly service: string
  readonly entries: Map<string, Entry>
}

// More pools than this at once are endpoints that come and go; those used least lately are closed.
const MOST_POOLS = 1_000
// A pool that was not used for one whole round is closed: its endpoint is gone, or idle, which costs a connect at most.
const ROUND_MS = 60_000
// For what is being sent to an endpoint that is gone. Who holds leases has waited for them before it says so.
const DRAIN_MS = 30_000

/** Makes the pools of one transport. */
export function createPools(settings: HttpSettings): Pools {
  const { base, clock } = settings
  if (base !== undefined) return onePool(settings, base.origin)
  // By place: an id may stand for one address under several names, and each has its own Host and certificate.
  const entries = new Map<string, Entry>()
  const services = new Map<string, Holder>()
  const closing = new Map<OwnDispatcher, Promise<void>>()
  let closed = false
  const housekeeping = createHousekeeping(clock, () => {
    for (const entry of entries.values()) {
      if (entry.used) entry.used = false
      else forget(entry)
    }
    return entries.size > 0
  })

  const letGo = (holder: Holder, entry: Entry): void => {
    holder.entries.delete(entry.endpoint.id)
    if (holder.entries.size === 0) services.delete(holder.service)
    entry.holders.delete(holder)
  }
  const forget = (entry: Entry, drainMs: number = Infinity): void => {
    entries.delete(entry.place)
    for (const holder of entry.holders) letGo(holder, entry)
    const { pool } = entry
    if (pool === undefined) return
    const stop = drainMs === Infinity ? () => {} : later(clock, drainMs, () => pool.destroy(tooLong()).catch(() => {}))
    const ended = (): void => {
      stop()
      closing.delete(pool)
    }
    closing.set(pool, pool.close().then(ended, ended))
  }
  const make = (endpoint: Endpoint, place: string): Entry => {
    if (entries.size >= MOST_POOLS) {
      const oldest = [...entries.values()].find((entry) => !entry.used) ?? entries.values().next().value
      if (oldest !== undefined) forget(oldest)
    }
    const entry = entryOf(endpoint, place, settings)
    entries.set(place, entry)
    housekeeping.start()
    return entry
  }
  const hold = (endpoint: Endpoint, service: string): Entry => {
    const place = placeOf(endpoint)
    const entry = entries.get(place) ?? make(endpoint, place)
    let holder = services.get(service)
    if (holder === undefined) services.set(service, (holder = { service, entries: new Map() }))
    holder.entries.set(endpoint.id, entry)
    entry.holders.add(holder)
    return entry
  }
  const leave = (holder: Holder, entry: Entry): void => {
    letGo(holder, entry)
    if (entry.holders.size === 0) forget(entry, DRAIN_MS)
  }

  return {
    route(endpoint, service = '') {
      if (endpoint === undefined) throw new TypeError('a transport with discovery is called through its pick')
      if (closed) throw createError({ code: 'SHUTDOWN', message: 'the connections are closed', stack: false })
      const holder = services.get(service)
      let entry = holder?.entries.get(endpoint.id)
      if (holder === undefined || entry === undefined) entry = hold(endpoint, service)
      else if (entry.endpoint !== endpoint) {
        // A refresh gives new objects; only a new address needs a new pool.
        if (samePlace(entry.endpoint, endpoint)) entry.endpoint = endpoint
        else {
          leave(holder, entry)
          entry = hold(endpoint, service)
        }
      }
      entry.used = true
      return entry
    },
    release(id, service = '') {
      const holder = services.get(service)
      const entry = holder?.entries.get(id)
      if (holder !== undefined && entry !== undefined) leave(holder, entry)
    },
    async close() {
      closed = true
      housekeeping.stop()
      for (const entry of entries.values()) forget(entry)
      await Promise.all(closing.values())
    },
    async destroy(error) {
      closed = true
      housekeeping.stop()
      for (const entry of entries.values()) forget(entry)
      await Promise.all([...closing.keys()].map((pool) => pool.destroy(error)))
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

function entryOf(endpoint: Endpoint, place: string, settings: HttpSettings): Entry {
  const holders = new Set<Holder>()
  const address = endpoint.addresses[0] as { readonly host: string; readonly port: number }
  const scheme = endpoint.secure === true ? 'https' : 'http'
  const direct = `${bracketed(address.host)}:${address.port}`
  const hostname = endpoint.hostname !== undefined && isName(endpoint.hostname) ? endpoint.hostname : undefined
  if (settings.dispatcher !== undefined) {
    // Somebody else's dispatcher cannot be told where a name lives: it is given the address, and the name as Host.
    const host = hostname === undefined ? undefined : `${hostname}:${address.port}`
    return {
      endpoint,
      place,
      holders,
      dispatcher: settings.dispatcher,
      origin: `${scheme}://${direct}`,
      host,
      pool: undefined,
      used: true,
    }
  }
  const origin = `${scheme}://${hostname === undefined ? direct : `${hostname}:${address.port}`}`
  const pinned =
    hostname === undefined && endpoint.addresses.length === 1
      ? undefined
      : // A connection has one port; what is at another is not this endpoint's.
        endpoint.addresses.filter(({ port }) => port === address.port).map(({ host }) => host)
  const pool = openPool(origin, settings, pinned, hostname)
  return { endpoint, place, holders, dispatcher: pool, origin, host: undefined, pool, used: true }
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
  // Timeouts: undici's, 300 seconds each, for whoever has none. The transport says with each request that it has its own.
  return new Pool(origin, {
    allowH2,
    // A connection serves many calls, so it must not live in the async context of the first.
    connect: ((options, callback) => detached(() => connect(options, callback))) satisfies typeof connect,
  })
}

type Found = (error: Error | null, address: unknown, family?: number) => void

interface Address {
  readonly address: string
  readonly family: number
}

// The name stays in Host and SNI; where it lives is the word of discovery.
function pinnedLookup(
  hosts: readonly string[],
): (name: string, options: { readonly all?: boolean }, callback: Found) => void {
  const known = hosts.map((address) => ({ address, family: isIP(address) }))
  const answer = (found: readonly Address[], all: boolean, callback: Found): void => {
    const [first] = found as readonly [Address, ...Address[]]
    if (all) callback(null, [...found])
    else callback(null, first.address, first.family)
  }
  return (_name, options, callback) => {
    const all = options.all === true
    if (known.every(({ family }) => family !== 0)) {
      answer(known, all, callback)
      return
    }
    const each = known.map((one) => (one.family === 0 ? resolved(one.address, options) : Promise.resolve([one])))
    Promise.allSettled(each).then((results) => {
      // A name that is not known must not hide the addresses beside it.
      const found = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
      const failed = results.find((result) => result.status === 'rejected')
      if (found.length > 0) answer(found, all, callback)
      else callback(failed?.reason as Error, undefined)
    })
  }
}

function resolved(name: string, options: object): Promise<readonly Address[]> {
  return new Promise((resolve, reject) => {
    process.getBuiltinModule('node:dns').lookup(name, { ...options, all: true }, (error, found) => {
      if (error === null) resolve(found)
      else reject(error)
    })
  })
}

// A URL takes many spellings for an address (0x7f.1, 2130706433), or for more than a host: those would go elsewhere than discovery says.
function isName(hostname: string): boolean {
  if (isIP(hostname) !== 0 || /[\s/\\?#@:[\]]/.test(hostname)) return false
  try {
    return isIP(new URL(`http://${hostname}`).hostname) === 0
  } catch {
    return false
  }
}

// Loaded with the first pool: importing fairlead must cost next to nothing.
function isIP(address: string): number {
  return process.getBuiltinModule('node:net').isIP(address)
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host
}

// The id, and all that `samePlace` looks at.
function placeOf({ id, hostname, secure, addresses }: Endpoint): string {
  return JSON.stringify([id, hostname, secure, addresses.map(({ host, port }) => [host, port])])
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

function tooLong(): Error {
  return createError({ code: 'CONNECTION_LOST', message: 'the endpoint is gone, and its answer took too long' })
}

// Never keeps the process up.
function later(clock: Clock, ms: number, work: () => void): () => void {
  const timer = detached(() => clock.setTimer(work, ms, undefined))
  clock.unref(timer)
  return () => clock.clearTimer(timer)
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
