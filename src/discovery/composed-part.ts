// One source among several: what it last said, and whether it can say anything at all now.
import type { Endpoint, Source, SourceWatch } from '../core/contracts/source.ts'
import { invalidOption } from '../core/options.ts'
import { readUpdate } from './read-update.ts'
import { vouch } from './vouched.ts'

// Merging takes time for each: a registry that names a million must not stop the process.
const MOST_ENTRIES = 50_000

/** A source under watch, as those who compose see it. */
export class Part {
  readonly source: Source
  readonly index: number
  /** It has answered at least once. */
  answered = false
  /** Its last answer was that it knows no such service. */
  absent = false
  /** What it said last. An error leaves it alone. */
  endpoints: readonly Endpoint[] = []
  ttlMs: number | undefined
  note: string | undefined
  /** Why it does not answer; undefined while it does. */
  error: unknown
  failing = false
  retryInMs: number | undefined
  #watch: SourceWatch | undefined
  #closed = false
  readonly #vouched: boolean

  /** @param vouched what it says is to be marked as said by a source that is not remote */
  constructor(source: Source, index: number, vouched: boolean) {
    this.source = source
    this.index = index
    this.#vouched = vouched
  }

  /** Watches; each word is taken down before `heard` is called. What cannot be asked counts as failing. */
  watch(service: string, heard: () => void): void {
    try {
      this.#watch = this.source.watch(service, (update) => {
        if (this.#closed) return
        this.#take(update)
        heard()
      })
    } catch (error) {
      this.#fail(error, undefined)
      heard()
    }
    if (this.#closed) this.close().catch(() => {})
  }

  refresh(): void {
    try {
      this.#watch?.refresh()
    } catch {
      // It must not keep the others from being asked.
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const watch = this.#watch
    this.#watch = undefined
    await watch?.close()
  }

  /** Somebody who can be called. */
  get hasSomebody(): boolean {
    return this.endpoints.some((each) => each.state !== 'down')
  }

  #take(update: unknown): void {
    const answer = readUpdate(update)
    if (answer.type === 'error') {
      this.#fail(answer.error, answer.retryInMs)
      return
    }
    this.failing = false
    this.error = undefined
    this.answered = true
    this.absent = !answer.found
    this.ttlMs = answer.ttlMs
    this.note = answer.note
    const entries = answer.endpoints.slice(0, MOST_ENTRIES).filter(isEntry)
    if (answer.endpoints.length > MOST_ENTRIES) this.note = `only the first ${MOST_ENTRIES} endpoints are looked at`
    this.endpoints = this.#vouched ? entries.map(vouch) : entries
  }

  #fail(error: unknown, retryInMs: number | undefined): void {
    this.failing = true
    this.error = error
    this.retryInMs = retryInMs
  }
}

/**
 * The parts of a composed source, before anything is watched.
 * @throws FairleadError INVALID_OPTIONS
 */
export function checkSources(what: string, sources: readonly Source[]): readonly Source[] {
  if (sources.length === 0) throw invalidOption(what, sources, 'give at least one source')
  for (const source of sources)
    if (typeof source?.watch !== 'function') throw invalidOption(what, source, `give sources: ${what}(first, second)`)
  return sources
}

/** Name and trust of a composed source: remote as soon as one is, and then the words of the others are marked. */
export function composedFacts(
  kind: string,
  sources: readonly Source[],
): { readonly name: string; readonly remote: boolean } {
  return {
    name: `${kind}(${sources.map(({ name }) => name).join(', ')})`,
    remote: sources.some(({ remote }) => remote === true),
  }
}

/** A part each. */
export function partsOf(sources: readonly Source[], remote: boolean): readonly Part[] {
  return sources.map((source, index) => new Part(source, index, remote && source.remote !== true))
}

// What is no object at all stays out here: it could not be merged. The rest is the intake's business.
function isEntry(entry: unknown): entry is Endpoint {
  if (typeof entry !== 'object' || entry === null) return false
  const { addresses } = entry as { readonly addresses?: unknown }
  return Array.isArray(addresses) && addresses.every((each) => typeof each === 'object' && each !== null)
}
