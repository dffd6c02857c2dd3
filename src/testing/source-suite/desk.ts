// What a case for sources works at: services and endpoints with names of their own, watches that remember all they were told and what was wrong with it.
import { AssertionError } from 'node:assert'
import { systemRandom } from '../../core/clock.ts'
import type { Endpoint, Source, SourceUpdate, SourceWatch } from '../../core/contracts/source.ts'
import { addressOf, faultOf, type Looks, sameSet, some } from './entries.ts'
import type { SourceLab, SourceTraits } from './types.ts'
import { type Waiting, waitingIn } from './waiting.ts'

/** An update that is no error. */
export type Word = Exclude<SourceUpdate, { readonly type: 'error' }>

/** One update, and when it came. */
export interface Heard {
  readonly update: SourceUpdate
  readonly at: number
}

/** One watch of a case. */
export interface Watched {
  readonly heard: readonly Heard[]
  /** The last word that is no error. */
  last(): Word | undefined
  errors(): readonly Extract<SourceUpdate, { readonly type: 'error' }>[]
  /** Words that are no errors. */
  words(): readonly Word[]
  /** Who is told last to be there. */
  endpoints(): readonly Endpoint[]
  /** Waits until the last word is this set. Default time: what the traits promise of a change. */
  sees(what: string, endpoints: readonly Endpoint[], withinMs?: number | undefined): Promise<void>
  /** Waits until an error is told that came after the `after`-th update. */
  failsAfter(what: string, after: number, withinMs?: number | undefined): Promise<void>
  refresh(): void
  close(): Promise<void>
}

/** What a case works at. */
export interface SourceDesk extends Waiting {
  readonly lab: SourceLab
  readonly traits: SourceTraits
  readonly looks: Looks
  /** Until when a change is seen, milliseconds. */
  readonly changeMs: number
  /** Until when a source that failed has asked again and been answered. */
  readonly recoveryMs: number
  /** One more source. */
  source(): Source
  /** A name that no service has had. */
  service(purpose?: string | undefined): string
  /** Endpoints of a service, from the `from`-th on. */
  endpoints(service: string, count: number, from?: number | undefined): Endpoint[]
  announce(service: string, endpoints: readonly Endpoint[]): Promise<void>
  /** Watches; `source` is one of the desk's by default. `hear` is called with each update. */
  watch(service: string, source?: Source | undefined, hear?: ((update: SourceUpdate) => void) | undefined): Watched
  /** Has something done when the case is over. */
  onEnd(end: () => Promise<void> | void): void
}

/** Makes the desk of one case. */
export function sourceDeskIn(lab: SourceLab): { readonly desk: SourceDesk; finish(): Promise<readonly string[]> } {
  const { traits } = lab
  const waiting = waitingIn(lab)
  const ends: (() => Promise<void> | void)[] = []
  const breaches = new Set<string>()
  const looks: Looks = { ...traits, ids: traits.ids !== 'address', ports: traits.ports !== false }
  let names = 0
  let own: Source | undefined
  const desk: SourceDesk = {
    ...waiting,
    lab,
    traits,
    looks,
    changeMs: traits.seesChangeWithinMs,
    recoveryMs: (traits.recoversWithinMs ?? 30_000) + traits.seesChangeWithinMs,
    source: () => lab.source(),
    service: (purpose = 'service') =>
      lab.service?.(purpose) ?? `fl-${purpose}-${++names}-${Math.floor(systemRandom() * 36 ** 8).toString(36)}`,
    endpoints: (service, count, from = 0) =>
      Array.from({ length: count }, (_, index) => ({
        id: `${service}-${from + index}`,
        addresses: [lab.address?.(from + index) ?? addressOf(from + index)],
      })),
    announce: (service, endpoints) => lab.announce(service, endpoints),
    watch(service, source = (own ??= lab.source()), hear = () => {}) {
      const watched = new Watching(desk, service, source, hear, breaches)
      ends.push(() => watched.close())
      return watched
    },
    onEnd: (end) => void ends.push(end),
  }
  return {
    desk,
    async finish() {
      for (const end of ends.reverse())
        await waiting.done('the end of a watch', 60_000, Promise.resolve(end())).catch((error: unknown) => {
          breaches.add(`at the end: ${error instanceof Error ? error.message : String(error)}`)
        })
      return [...breaches]
    },
  }
}

class Watching implements Watched {
  readonly heard: Heard[] = []
  readonly #desk: SourceDesk
  readonly #watch: SourceWatch
  readonly #breaches: Set<string>
  #closed = false

  constructor(
    desk: SourceDesk,
    service: string,
    source: Source,
    hear: (update: SourceUpdate) => void,
    breaches: Set<string>,
  ) {
    this.#desk = desk
    this.#breaches = breaches
    this.#watch = source.watch(service, (update) => {
      this.#judge(update)
      this.heard.push({ update, at: desk.clock.now() })
      hear(update)
    })
  }

  last(): Word | undefined {
    return this.words().at(-1)
  }

  words(): readonly Word[] {
    return this.heard.flatMap(({ update }) => (update.type === 'error' ? [] : [update]))
  }

  errors(): readonly Extract<SourceUpdate, { readonly type: 'error' }>[] {
    return this.heard.flatMap(({ update }) => (update.type === 'error' ? [update] : []))
  }

  endpoints(): readonly Endpoint[] {
    const last = this.last()
    return last?.type === 'snapshot' ? last.endpoints : []
  }

  sees(what: string, endpoints: readonly Endpoint[], withinMs: number = this.#desk.changeMs): Promise<void> {
    const { looks } = this.#desk
    return this.#desk.until(
      what,
      withinMs,
      () => this.last() !== undefined && sameSet(this.endpoints(), endpoints, looks),
      () => `expected ${some(endpoints, looks)}, told ${this.#told()}`,
    )
  }

  failsAfter(what: string, after: number, withinMs: number = this.#desk.recoveryMs): Promise<void> {
    return this.#desk.until(
      what,
      withinMs,
      () => this.heard.slice(after).some(({ update }) => update.type === 'error'),
      () => `told ${this.#told()}`,
    )
  }

  refresh(): void {
    this.#watch.refresh()
  }

  async close(): Promise<void> {
    await this.#watch.close()
    this.#closed = true
  }

  #told(): string {
    const last = this.heard.at(-1)?.update
    if (last === undefined) return 'nothing at all'
    if (last.type === 'error') return `an error: ${String(last.error)}`
    return last.type === 'absent' ? 'absent' : some(last.endpoints, this.#desk.looks)
  }

  // What has to hold of every update, whatever the case is about.
  #judge(update: SourceUpdate): void {
    if (this.#closed) this.#breaches.add(`the sink was called after close: ${update.type}`)
    if (update.type === 'error') {
      if (update.error === undefined) this.#breaches.add('an error update without an error')
      if (update.retryInMs !== undefined && !(update.retryInMs >= 0))
        this.#breaches.add(`an error is to be tried again in ${update.retryInMs} ms`)
      return
    }
    if (update.type === 'absent') return
    if (update.ttlMs !== undefined && !(update.ttlMs >= 0)) this.#breaches.add(`a ttl of ${update.ttlMs} ms`)
    const ids = new Set<string>()
    for (const endpoint of update.endpoints) {
      const fault = faultOf(endpoint)
      if (fault !== undefined) this.#breaches.add(`no endpoint: ${fault}`)
      if (ids.has(endpoint.id)) this.#breaches.add(`two endpoints of one id in a snapshot: ${endpoint.id}`)
      ids.add(endpoint.id)
    }
  }
}

/** @throws AssertionError with what was told, unless there is none of it. */
export function never(words: readonly Word[], wrong: (word: Word) => boolean, message: string): void {
  const found = words.find(wrong)
  if (found === undefined) return
  const told = found.type === 'absent' ? 'absent' : `${found.endpoints.length} endpoints`
  throw new AssertionError({ message: `${message}: told ${told}` })
}
