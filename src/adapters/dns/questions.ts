// Single questions to DNS servers: bounded in time, equal ones asked once, all sockets gone when nobody waits any more.
import type { Clock, Timer } from '../../core/clock.ts'
import { lazy } from '../../core/lazy.ts'
import { createError } from '../../errors/classes.ts'
import type { DnsAddress, DnsLookup, DnsResolver, DnsService, DnsSettings } from './options.ts'

/** Records, or that there are none: `exists` tells NODATA (the name is there) from NXDOMAIN. */
export type Answer<T> =
  | { readonly type: 'records'; readonly records: readonly T[] }
  | { readonly type: 'none'; readonly exists: boolean }

interface OwnResolver extends DnsResolver {
  cancel(): void
  getServers(): readonly string[]
  setServers(servers: readonly string[]): void
}

interface Dns {
  readonly promises: {
    readonly Resolver: new (options: { readonly timeout: number; readonly tries: number }) => OwnResolver
    readonly lookup: DnsLookup
  }
}

interface Question {
  readonly answer: Promise<Answer<never>>
  readonly stop: () => void
  askers: number
}

const SERVERS_FAULT: readonly unknown[] = ['ESERVFAIL', 'EREFUSED', 'ENOTIMP', 'EFORMERR', 'EBADRESP']

/** All questions of one source. */
export class Questions {
  readonly #settings: Pick<DnsSettings, 'clock' | 'timeoutMs' | 'servers' | 'resolver' | 'lookup'>
  readonly #open = new Map<string, Question>()
  #askers = 0
  /** The first knows all servers, each of the others one of the rest. */
  #resolvers: readonly OwnResolver[] = []
  #stale = false

  constructor(settings: Pick<DnsSettings, 'clock' | 'timeoutMs' | 'servers' | 'resolver' | 'lookup'>) {
    this.#settings = settings
  }

  /** A records (4) or AAAA records (6). Rejects with NAME_LOOKUP_FAILED or NAME_LOOKUP_TIMEOUT, or with the signal's reason. */
  addresses(family: 4 | 6, name: string, signal: AbortSignal): Promise<Answer<DnsAddress>> {
    return family === 4
      ? this.#ask('A', name, signal, (resolver) => resolver.resolve4(name, { ttl: true }))
      : this.#ask('AAAA', name, signal, (resolver) => resolver.resolve6(name, { ttl: true }))
  }

  /** SRV records. Rejects as `addresses` does. */
  services(name: string, signal: AbortSignal): Promise<Answer<DnsService>> {
    return this.#ask('SRV', name, signal, (resolver) => resolver.resolveSrv(name))
  }

  /** The system's own look-up: hosts file and whatever else it is set to ask. It cannot be broken off, only left alone. */
  system(name: string, signal: AbortSignal): Promise<Answer<string>> {
    const { lookup } = this.#settings
    if (lookup === false) return Promise.resolve({ type: 'none', exists: false })
    return this.#ask('look-up', name, signal, async () => {
      const find = lookup === true ? lazy<Dns>('node:dns').promises.lookup : lookup
      return (await find(name, { all: true })).map((each) => each.address)
    })
  }

  async #ask<T>(
    kind: string,
    name: string,
    signal: AbortSignal,
    ask: (resolver: DnsResolver) => Promise<readonly T[]>,
  ): Promise<Answer<T>> {
    signal.throwIfAborted()
    const key = `${kind} ${name.toLowerCase()}`
    let question = this.#open.get(key)
    if (question === undefined) this.#open.set(key, (question = this.#begin(kind, name, ask)))
    const { answer, stop } = question
    question.askers++
    this.#askers++
    try {
      return await until(answer as Promise<Answer<T>>, signal)
    } finally {
      if (--question.askers === 0) {
        stop()
        if (this.#open.get(key) === question) this.#open.delete(key)
      }
      if (--this.#askers === 0) this.#rest()
    }
  }

  #begin<T>(kind: string, name: string, ask: (resolver: DnsResolver) => Promise<readonly T[]>): Question {
    const { clock, timeoutMs } = this.#settings
    let stop = (): void => {}
    const late = new Promise<never>((_, reject) => {
      const giveUp = (): void => {
        this.#stale = true
        const message = `${kind} of ${name}: no answer within ${timeoutMs} ms`
        reject(createError({ code: 'NAME_LOOKUP_TIMEOUT', message, stack: false }))
      }
      stop = unrefTimer(clock, giveUp, timeoutMs)
    })
    const asked = this.#answer(kind, name, ask, () => question.askers > 0)
    const answer = Promise.race([asked, late]) as Promise<Answer<never>>
    // Whoever asked may have gone.
    answer.catch(() => {})
    const question: Question = { answer, stop, askers: 0 }
    return question
  }

  async #answer<T>(
    kind: string,
    name: string,
    ask: (resolver: DnsResolver) => Promise<readonly T[]>,
    wanted: () => boolean,
  ): Promise<Answer<T>> {
    const { resolver } = this.#settings
    const resolvers = resolver === undefined ? this.#own() : [resolver]
    for (let at = 0; ; at++)
      try {
        const records = await ask(resolvers[at] as DnsResolver)
        if (!Array.isArray(records)) throw new Error('the resolver gave no list')
        return records.length === 0 ? { type: 'none', exists: true } : { type: 'records', records }
      } catch (error) {
        const code = (error as { code?: unknown } | null | undefined)?.code
        if (code === 'ENOTFOUND') return { type: 'none', exists: false }
        if (code === 'ENODATA') return { type: 'none', exists: true }
        // Node goes on to the next server when one is silent, and not when it refuses or fails.
        if (SERVERS_FAULT.includes(code) && at + 1 < resolvers.length && wanted()) continue
        this.#stale = true
        throw failure(kind, name, code, error)
      }
  }

  #own(): readonly OwnResolver[] {
    if (this.#resolvers.length > 0) return this.#resolvers
    const { timeoutMs, servers } = this.#settings
    const { Resolver } = lazy<Dns>('node:dns').promises
    const make = (asked: readonly string[] | undefined): OwnResolver => {
      // A lost packet is sent again while there is time: after a third of it at first, sooner once the server is known to be quick.
      const made = new Resolver({ timeout: Math.max(Math.ceil(timeoutMs / 3), 1), tries: 4 })
      if (asked !== undefined) made.setServers(asked)
      return made
    }
    const first = make(servers)
    this.#resolvers = [
      first,
      ...first
        .getServers()
        .slice(1)
        .map((each) => make([each])),
    ]
    return this.#resolvers
  }

  // Nobody waits. What is still under way (given up, or its asker closed) is broken off, so that no socket is left; and a resolver
  // that failed is made anew next time, for it reads the system's servers only once.
  #rest(): void {
    for (const resolver of this.#resolvers) resolver.cancel()
    if (this.#stale) this.#resolvers = []
    this.#stale = false
  }
}

function failure(kind: string, name: string, code: unknown, cause: unknown): Error {
  const timedOut = code === 'ETIMEOUT' || code === 'ETIMEDOUT'
  const what = typeof code === 'string' ? code : cause instanceof Error ? cause.message : String(cause)
  return createError({
    code: timedOut ? 'NAME_LOOKUP_TIMEOUT' : 'NAME_LOOKUP_FAILED',
    message: `${kind} of ${name}: ${what}`,
    cause,
    stack: false,
  })
}

function unrefTimer(clock: Clock, callback: () => void, ms: number): () => void {
  const timer: Timer = clock.setTimer(callback, ms, undefined)
  clock.unref(timer)
  return () => clock.clearTimer(timer)
}

function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave))
  })
}
