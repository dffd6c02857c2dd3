// The connections to one registry. Its own connector, because undici cannot break off one that is still being opened.
import type { Clock } from '../../core/clock.ts'
import { createError } from '../../errors/classes.ts'
import { type OwnDispatcher, undici } from '../http/undici.ts'

/** How TLS is checked towards a registry. PEM texts. */
export interface RegistryTls {
  /** Authorities to believe, in place of Node's own list. */
  readonly ca?: string | readonly string[] | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The name that the certificate has to prove. Default: the host of the address. */
  readonly servername?: string | undefined
}

/** All connections to one server. */
export interface RegistryAgent {
  readonly dispatcher: OwnDispatcher
  /** Ends them all, also those that are still being opened. */
  destroy(): Promise<void>
}

interface OpeningSocket {
  destroy(error?: Error): unknown
}

/** Opens nothing yet. `connectMs`: how long one connection may take to be opened. */
export function openAgent(clock: Clock, connectMs: number, tls: RegistryTls = {}): RegistryAgent {
  const { Agent, buildConnector } = undici()
  const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined))
  // Timeouts are ours: undici's are about a second coarse.
  const build = buildConnector({ ...given, timeout: 0, allowH2: false })
  const opening = new Set<OpeningSocket>()
  const dispatcher = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    connect: (options: object, callback: (error: Error | null, socket: unknown) => void) => {
      const socket = build(options, (error, opened) => {
        clock.clearTimer(timer)
        opening.delete(socket)
        callback(error, opened)
      }) as OpeningSocket
      opening.add(socket)
      const timer = clock.setTimer(
        () => {
          const message = `no connection within ${connectMs} ms`
          socket.destroy(createError({ code: 'CONNECT_TIMEOUT', message, stack: false }))
        },
        connectMs,
        undefined,
      )
      clock.unref(timer)
      return socket
    },
  })
  return {
    dispatcher,
    async destroy() {
      const ended = dispatcher.destroy()
      for (const socket of opening) socket.destroy(createError({ code: 'SHUTDOWN', stack: false }))
      await ended
    },
  }
}
