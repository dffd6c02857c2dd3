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
   * Asks one after the other until one answers in a way that `read` can read. 3xx, 5xx, 401, 403, 429, a 404 that `read` does not take, and what
   * cannot be read are this one server's fault; other 4xx would be the same everywhere. Rejects with the last server's FairleadError.
   */
  ask<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T): Promise<Said<T>>
  /**
   * The same for what may not be there: a 404 that `read` makes undefined is believed only of a server that has proved to be a Eureka, since a
   * wrong base URL answers the same; and where something was found before, only of one that proves it now, since a proxy that has lost its
   * way does so too. One that does not is passed over.
   */
  find<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T | undefined): Promise<T | undefined>
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
  /** Paths under which something was found when they were asked for last. */
  readonly #found = new Set<string>()
  #order: readonly number[] = []
  #sessionEndsAt = Number.NEGATIVE_INFINITY

  constructor(settings: ServerSettings) {
    const { servers, tls, timeoutMs, clock } = settings
    this.#settings = settings
    this.#clients = servers.map(({ baseUrl, headers }) => registryClient({ baseUrl, headers, tls, timeoutMs, clock }))
  }

  ask<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T): Promise<Said<T>> {
    return this.#ask(request, async (answer) => read(answer))
  }

  async find<T>(request: RegistryRequest, read: (answer: RegistryAnswer) => T | undefined): Promise<T | undefined> {
    const { path, signal } = request
    const said = await this.#ask(request, async (answer, server) => {
      const value = read(answer)
      if (value !== undefined) return value
      if (this.#found.has(path)) this.#proven.delete(server)
      await this.#prove(server, signal)
      return undefined
    })
    if (said.value === undefined) this.#found.delete(path)
    else this.#found.add(path)
    return said.value
  }

  async #ask<T>(
    request: RegistryRequest,
    read: (answer: RegistryAnswer, server: number) => Promise<T>,
  ): Promise<Said<T>> {
    let failure: unknown
    for (const server of this.#inOrder()) {
      request.signal?.throwIfAborted()
      try {
        const answer = await (this.#clients[server] as RegistryClient).request(request)
        if (answer.status >= 500) throw statusError('Eureka', answer)
        const value = await read(answer, server)
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

  async #prove(server: number, signal: AbortSignal | undefined): Promise<void> {
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

// 403 is what a server says that has just started and does not know its peers' registry yet. 401 and 404, where it is no answer, are said by
// one that was set up otherwise than the others, or that is no Eureka at all.
const OWN_FAULTS: readonly string[] = ['TOO_MANY_REQUESTS', 'FORBIDDEN', 'UNAUTHENTICATED', 'NOT_FOUND']

function isServersFault(error: unknown): boolean {
  const { kind, effect, code } = error as FairleadError
  return kind !== 'response' || effect !== 'none' || OWN_FAULTS.includes(code)
}

function shuffled(count: number, random: () => number): readonly number[] {
  const all = Array.from({ length: count }, (_, at) => at)
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[all[at], all[other]] = [all[other] as number, all[at] as number]
  }
  return all
}
