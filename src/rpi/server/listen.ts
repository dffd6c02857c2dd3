// A server of one's own in one line: listens, announces itself, and leaves without a failed call.
import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  ANNOUNCING_OPTIONS,
  type Announcement,
  type AnnouncingOptions,
  announceEndpoint,
  checkAnnouncing,
} from '../../core/announcement.ts'
import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/contracts/source.ts'
import { onExitSignals } from '../../core/exit-signals.ts'
import type { Closable } from '../../core/lifecycle.ts'
import { invalidOption, knownOptions } from '../../core/options.ts'
import { endsWithin } from '../../core/patience.ts'
import type { NodeListener } from './node.ts'

/** How a server adapter announces itself: the options of `announce`, and what is to be said of the endpoint. */
export interface ListenRegister extends Omit<AnnouncingOptions, 'signals' | 'clock' | 'random' | 'newId'> {
  /** Default: the name of the contract. */
  readonly service?: string | undefined
  /** Default `host:port`: a process that is started again takes the place of the one before. */
  readonly id?: string | undefined
  /** The address that clients are to use. Default: the `host` that it listens on, and where that is every address, the first one that is not internal, IPv4 first. */
  readonly host?: string | undefined
  /** The port that clients are to use, where it is not the one that it listens on. */
  readonly port?: number | undefined
  /** Anything else of the endpoint. */
  readonly hostname?: string | undefined
  readonly secure?: boolean | undefined
  readonly weight?: number | undefined
  readonly priority?: number | undefined
  readonly zone?: string | undefined
  readonly ports?: Readonly<Record<string, number>> | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** Options of `listen`. */
export interface ListenOptions {
  /** Default 0: any that is free. */
  readonly port?: number | undefined
  /** The address to listen on. Default: every address. */
  readonly host?: string | undefined
  /** Announces the server once it listens, and takes that back before it ends. */
  readonly register?: ListenRegister | undefined
  /** Signals of the process at which it leaves by itself; a second one leaves out the wait. Default: `['SIGTERM']` with `register`, none without. */
  readonly signals?: readonly NodeJS.Signals[] | undefined
}

/** A server that listens. */
export interface Listening extends Closable {
  readonly port: number
  /** Where it can be called: the advertised address with `register`. */
  readonly url: string
  /** The server itself: for WebSockets, timeouts, figures. */
  readonly server: Server
  /** Whether every registry has it; false without `register`. */
  readonly registered: boolean
  /** Tells that it is draining, waits until clients can have seen it, deregisters, finishes what is in flight and closes. Never rejects; once. */
  leave(): Promise<void>
  /** The same without the wait; also while `leave` waits. */
  close(): Promise<void>
}

/** What stands behind the server. */
export interface Served {
  readonly service: string
  readonly listener: NodeListener
  readonly clock: Clock
  /** How long requests in flight are waited for. */
  readonly drainMs: number
  /** Refuses what is new, and waits for what is in flight. */
  close(): Promise<void>
}

const LISTEN_OPTIONS = ['port', 'host', 'register', 'signals']
const SAID = ['hostname', 'secure', 'weight', 'priority', 'zone', 'ports', 'metadata'] as const
const REGISTER_OPTIONS = [
  ...ANNOUNCING_OPTIONS.filter((name) => !['signals', 'clock', 'random', 'newId'].includes(name)),
  ...['service', 'id', 'host', 'port'],
  ...SAID,
]
// For handlers whose connection is gone to notice it.
const LAST_MS = 1_000

/** Listens, and announces itself where that is wanted. Rejects when it cannot listen; then, and when it cannot be announced and has to be, nothing is left. */
export async function listen(served: Served, options: ListenOptions = {}): Promise<Listening> {
  knownOptions('listen', options, LISTEN_OPTIONS)
  const { port = 0, host, register, signals } = options
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw invalidOption('listen.port', port, 'give a port, or 0 for any that is free')
  if (host !== undefined && (typeof host !== 'string' || host === ''))
    throw invalidOption('listen.host', host, 'give an address of this machine')
  if (register !== undefined) {
    knownOptions('listen.register', register, REGISTER_OPTIONS)
    checkAnnouncing('listen.register', { ...register, signals })
  }
  const door = new Door(served)
  const bound = await door.open(port, host)
  const advertised = {
    host: register?.host ?? reachable(host) ?? outside() ?? '127.0.0.1',
    port: register?.port ?? bound,
  }
  let announcement: Announcement | undefined
  if (register !== undefined) {
    try {
      announcement = await announceEndpoint({
        ...announcing(register, signals),
        service: register.service ?? served.service,
        endpoint: endpointOf(register, advertised),
        clock: served.clock,
        onDraining: () => door.drain(),
        closeServer: () => door.close(),
        // The door ends by itself.
        closeMs: served.drainMs + 2 * LAST_MS,
      })
    } catch (error) {
      await door.close()
      throw error
    }
  }
  const end = announcement === undefined ? alone(door, signals) : announcement
  return {
    port: bound,
    url: `http://${bracketed(advertised.host)}:${advertised.port}`,
    server: door.server,
    get registered() {
      return announcement?.registered ?? false
    },
    leave: () => end.leave(),
    close: () => end.close(),
    [Symbol.asyncDispose]: () => end.close(),
  }
}

// Nobody has to be told: leaving is closing.
function alone(door: Door, signals: readonly NodeJS.Signals[] = []): Pick<Listening, 'leave' | 'close'> {
  let ending: Promise<void> | undefined
  const end = (): Promise<void> => (ending ??= door.close().then(unlisten))
  const unlisten = onExitSignals(signals, (nth) => void (nth === 1 ? end() : door.server.closeAllConnections()))
  return { leave: end, close: end }
}

function announcing(register: ListenRegister, signals: ListenOptions['signals']): AnnouncingOptions {
  const given = Object.entries(register).filter(([name]) => ANNOUNCING_OPTIONS.includes(name))
  return { ...(Object.fromEntries(given) as unknown as AnnouncingOptions), signals }
}

function endpointOf(register: ListenRegister, address: { readonly host: string; readonly port: number }): Endpoint {
  const said = SAID.flatMap((name) => (register[name] === undefined ? [] : [[name, register[name]]]))
  return {
    id: register.id ?? `${bracketed(address.host)}:${address.port}`,
    addresses: [address],
    ...(Object.fromEntries(said) as Partial<Endpoint>),
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

// The address that it listens on, unless that is no address to call.
function reachable(host: string | undefined): string | undefined {
  return host === undefined || host === '0.0.0.0' || host === '::' ? undefined : host
}

function outside(): string | undefined {
  const all = Object.values(process.getBuiltinModule('node:os').networkInterfaces()).flatMap((each) => each ?? [])
  const usable = all.filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
  return (usable.find(({ family }) => family === 'IPv4') ?? usable[0])?.address
}

// The server and its connections: while it drains every answer asks the client to go elsewhere.
class Door {
  readonly server: Server
  readonly #served: Served
  #draining = false
  #closing: Promise<void> | undefined

  constructor(served: Served) {
    this.#served = served
    // Loaded by who listens: importing fairlead must cost next to nothing.
    this.server = process.getBuiltinModule('node:http').createServer((request, response) => {
      if (this.#draining) lastAnswer(response)
      served.listener(request, response)
    })
  }

  open(port: number, host: string | undefined): Promise<number> {
    const { server } = this
    return new Promise((resolve, reject) => {
      // As Node says it: everybody knows EADDRINUSE.
      server.once('error', reject)
      server.listen(port, host, () => {
        server.off('error', reject)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  /** Connections end with their next answer: a client that keeps one open would go on using it. */
  drain(): void {
    this.#draining = true
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    const { clock, drainMs, close } = this.#served
    const until = clock.now() + drainMs
    this.drain()
    // No new connections; idle ones are closed. What still comes on the others is answered, and they end with that answer.
    const closed = new Promise<void>((resolve) => void this.server.close(() => resolve()))
    if (!(await endsWithin(closed, drainMs, clock))) this.server.closeAllConnections()
    // What is worked on for nobody any more.
    await endsWithin(close(), Math.max(until - clock.now(), LAST_MS), clock)
    await closed
  }
}

function lastAnswer(response: ServerResponse): void {
  response.shouldKeepAlive = false
}
