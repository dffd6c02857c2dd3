// One Eureka cluster: keeps to one server, goes on to the next where it fails, and comes back to chance after a while.
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { statusError } from '../registry/answer.ts'
import { type RegistryAnswer, type RegistryClient, type RegistryRequest, registryClient } from '../registry/client.ts'
import type { ServerSettings } from './options.ts'

/** What a server was made to say, and which one it was. */
export interface Said<T> {
  readonly value: T
  /** Which of `urls`. Another one than last time may know less, or more. */
  readonly server: number
}

/** Speaks to whichever server answers. */
export interface EurekaServers {
  /**
   * Asks one after the other until one answers in a way that `read` can read. 5xx, 403, 429 and what
   * cannot be read are this one server's fault; other 4xx would be the same everywhere. Rejects with the last server's FairleadError.
   */
  ask<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T): Promise<Said<T>>
  /** Whether a 404 of this server can be believed: a wrong base URL answers the same. Rejects with the reason if not. */
  prove(server: number, signal: AbortSignal | undefined): Promise<void>
  close(): Promise<void>
}

// As Netflix' client does: sessions end by themselves, so that a server that was away gets its share again.
const SESSION_MS = 20 * 60_000

/** Opens nothing until it is asked. */
export function eurekaServers(settings: ServerSettings): EurekaServers {
  return new Servers(settings)
}

class Servers implements EurekaServers {
  readonly #settings: ServerSettings
  readonly #clients: readonly RegistryClient[]
  readonly #proven = new Set<number>()
  #order: readonly number[] = []
  #sessionEndsAt = Number.NEGATIVE_INFINITY

  constructor(settings: ServerSettings) {
    const { servers, tls, timeoutMs, clock } = settings
    this.#settings = settings
    this.#clients = servers.map(({ baseUrl, headers }) => registryClient({ baseUrl, headers, tls, timeoutMs, clock }))
  }

  async ask<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T): Promise<Said<T>> {
    let failure: unknown
    for (const server of this.#inOrder()) {
      request.signal?.throwIfAborted()
      try {
        const answer = await (this.#clients[server] as RegistryClient).request(request)
        if (answer.status >= 500) throw statusError('Eureka', answer)
        const value = read(answer)
        if (answer.status < 300) this.#proven.add(server)
        return { value, server }
      } catch (error) {
        failure = error
        if (request.signal?.aborted === true || !isServersFault(error)) break
        this.#passOver(server)
      }
    }
    throw failure
  }

  async prove(server: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#proven.has(server)) return
    const answer = await (this.#clients[server] as RegistryClient).request({ path: '/apps/delta', signal })
    // 403: changes are switched off there, which only a Eureka server says.
    if (answer.status !== 403 && !(answer.status === 200 && answer.text.includes('"applications"')))
      throw createError({
        code: 'NOT_FOUND',
        message: `${this.#clients[server]?.baseUrl} answered ${answer.status} for /apps/delta: is that the base URL of a Eureka server?`,
        stack: false,
      })
    this.#proven.add(server)
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
  }

  #inOrder(): readonly number[] {
    const { clock, random } = this.#settings
    const now = clock.now()
    if (now >= this.#sessionEndsAt) {
      this.#order = shuffled(this.#clients.length, random)
      this.#sessionEndsAt = now + SESSION_MS * (0.5 + random())
    }
    return this.#order
  }

  // To the end of the row: the one that answers stays at its head.
  #passOver(server: number): void {
    this.#order = [...this.#order.filter((each) => each !== server), server]
  }
}

// 403 is what a server says that has just started and does not know its peers' registry yet.
function isServersFault(error: unknown): boolean {
  const { kind, effect, code } = error as FairleadError
  return kind !== 'response' || effect !== 'none' || code === 'TOO_MANY_REQUESTS' || code === 'FORBIDDEN'
}

function shuffled(count: number, random: () => number): readonly number[] {
  const all = Array.from({ length: count }, (_, at) => at)
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[all[at], all[other]] = [all[other] as number, all[at] as number]
  }
  return all
}
