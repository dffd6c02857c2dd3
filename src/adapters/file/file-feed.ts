// Reads the files of one source for all its watches: one look at the disk, however many services are asked for.
import { readFile, stat } from 'node:fs/promises'
import type { Clock, Random } from '../../core/clock.ts'
import type { Endpoint, SourceUpdate, SourceWatch } from '../../core/contracts/source.ts'
import { type Asked, keepAsking } from '../../discovery/asking.ts'
import { quietSink } from '../../discovery/quiet-sink.ts'
import { createError } from '../../errors/classes.ts'
import { type FileContent, type FileFormat, readContent } from './formats.ts'
import { FolderWatch } from './watch-folders.ts'

/** How files are read; checked. */
export interface FileFeedOptions {
  readonly paths: readonly string[]
  readonly format: FileFormat | undefined
  readonly labels: readonly string[]
  readonly pollMs: number
  readonly debounceMs: number
  readonly maxBytes: number
  readonly clock: Clock
  readonly random: Random
}

type Sink = (update: SourceUpdate) => void

interface Known {
  readonly text: string
  readonly content: FileContent
  /** When it was read last, by the wall's clock. */
  readonly readAt: number
  /** The same, while it cannot be read any more. */
  readonly since?: number | undefined
}

interface Listener {
  readonly service: string
  readonly sink: Sink
  told: string
}

// How often leases that have run out are looked for at most.
const LEAST_AGAIN_MS = 50
const FIRST_RETRY_MS = 200

/** Runs from the first watch to the last. */
export class FileFeed {
  readonly #options: FileFeedOptions
  readonly #listeners = new Set<Listener>()
  /** What each file said last, by path. */
  readonly #known = new Map<string, Known>()
  #folders: FolderWatch | undefined
  #asking: SourceWatch | undefined
  #ending: Promise<void> = Promise.resolve()
  #error: { readonly error: unknown; readonly retryInMs?: number | undefined } | undefined
  /** All files have been read at least once: who is in none of them is absent. */
  #whole = false

  constructor(options: FileFeedOptions) {
    this.#options = options
  }

  watch(service: string, sink: Sink): SourceWatch {
    const listener: Listener = { service, sink: quietSink(sink), told: '' }
    this.#listeners.add(listener)
    if (this.#asking === undefined) this.#start()
    else this.#tell(listener)
    if (this.#error !== undefined) listener.sink({ type: 'error', ...withRetry(this.#error) })
    return {
      refresh: () => {
        if (this.#listeners.has(listener)) this.#asking?.refresh()
      },
      close: async () => {
        if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#stop()
        await this.#ending
      },
    }
  }

  #start(): void {
    const { clock, random, pollMs } = this.#options
    this.#folders = new FolderWatch({ ...this.#options, onChange: () => this.#asking?.refresh() })
    this.#asking = keepAsking({
      clock,
      random,
      // A change that is seen while the file is read may have come too late for that reading.
      interrupt: true,
      leastMs: Math.min(FIRST_RETRY_MS, pollMs),
      mostMs: pollMs,
      ask: (signal) => this.#ask(signal),
      sink: (update) => this.#hear(update),
    })
  }

  #stop(): void {
    const asking = this.#asking
    this.#asking = undefined
    this.#folders?.close()
    this.#folders = undefined
    this.#error = undefined
    this.#whole = false
    this.#known.clear()
    this.#ending = Promise.all([this.#ending, asking?.close()]).then(() => {})
  }

  async #ask(signal: AbortSignal): Promise<Asked> {
    const { paths, pollMs } = this.#options
    // Before reading: a change after it is noticed.
    this.#folders?.attend()
    const read = await Promise.allSettled(paths.map((path) => this.#read(path, signal)))
    signal.throwIfAborted()
    let failure: unknown
    for (const [at, result] of read.entries())
      if (result.status === 'fulfilled') this.#known.set(paths[at] as string, result.value)
      else {
        failure ??= result.reason
        const known = this.#known.get(paths[at] as string)
        // Leases stand as they stood when it was read last: else all would run out, one after the other, that nobody can be seen to renew.
        if (known !== undefined) this.#known.set(paths[at] as string, { ...known, since: known.readAt })
      }
    this.#whole ||= failure === undefined
    const recovered = failure === undefined && this.#error !== undefined
    if (failure === undefined) this.#error = undefined
    for (const listener of [...this.#listeners]) this.#tell(listener, recovered)
    if (failure !== undefined) throw failure
    return { update: undefined, againMs: this.#againMs(pollMs) }
  }

  async #read(path: string, signal: AbortSignal): Promise<Known> {
    const { format, labels, maxBytes } = this.#options
    try {
      const facts = await stat(path)
      if (!facts.isFile()) throw new Error('it is no file')
      if (facts.size > maxBytes) throw new Error(`it has ${facts.size} bytes, more than maxBytes (${maxBytes})`)
      const text = await readFile(path, { encoding: 'utf8', signal })
      const known = this.#known.get(path)
      const content = known?.text === text ? known.content : readContent(text, format, labels)
      return { text, content, readAt: this.#options.clock.wallNow() }
    } catch (cause) {
      throw createError({
        code: isUndecodable(cause) ? 'REPLY_UNDECODABLE' : 'UNAVAILABLE',
        message: `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
        stack: false,
      })
    }
  }

  #hear(update: SourceUpdate): void {
    if (update.type !== 'error') return
    this.#error = update
    for (const listener of [...this.#listeners]) listener.sink({ type: 'error', ...withRetry(update) })
  }

  #tell(listener: Listener, anyway: boolean = false): void {
    const update = this.#updateOf(listener.service)
    if (update === undefined) return
    const told = update.type === 'error' ? String(update.error) : JSON.stringify(update)
    if (told === listener.told && !anyway) return
    listener.told = told
    listener.sink(update)
  }

  #updateOf(service: string): SourceUpdate | undefined {
    const now = this.#options.clock.wallNow()
    const endpoints = new Map<string, Endpoint>()
    const flaws = new Set<string>()
    let found = false
    let read = false
    for (const { content, since } of this.#known.values()) {
      for (const flaw of [...(content.flaws.get(service) ?? []), ...(content.flaws.get('') ?? [])]) flaws.add(flaw)
      const entries = content.services.get(service)
      if (entries === undefined) continue
      found = true
      read ||= entries.length > 0 || !content.flaws.has(service)
      for (const { endpoint, until } of entries) {
        if (until !== undefined && until <= (since ?? now)) continue
        const known = endpoints.get(endpoint.id)
        if (known === undefined) endpoints.set(endpoint.id, endpoint)
        else if (JSON.stringify(known) !== JSON.stringify(endpoint)) flaws.add('another entry has the same id')
      }
    }
    // Not in what could be read; it may be in what could not.
    if (!found) return this.#whole ? { type: 'absent' } : undefined
    // Not one of its entries says anything: that is no word of an empty service.
    if (!read) return { type: 'error', error: nothingRead(service, flaws) }
    const note = flaws.size === 0 ? {} : { note: `entries left out or mended: ${[...flaws].join(', ')}` }
    return { type: 'snapshot', endpoints: [...endpoints.values()], ...note }
  }

  #againMs(pollMs: number): number {
    const now = this.#options.clock.wallNow()
    let againMs = pollMs
    for (const { content } of this.#known.values())
      for (const { service } of this.#listeners)
        for (const { until } of content.services.get(service) ?? [])
          if (until !== undefined && until > now) againMs = Math.min(againMs, until - now)
    return Math.max(againMs, LEAST_AGAIN_MS)
  }
}

function withRetry(error: { readonly error: unknown; readonly retryInMs?: number | undefined }): {
  readonly error: unknown
  readonly retryInMs?: number
} {
  return { error: error.error, ...(error.retryInMs === undefined ? {} : { retryInMs: error.retryInMs }) }
}

function nothingRead(service: string, flaws: ReadonlySet<string>): Error {
  return createError({
    code: 'REPLY_INVALID',
    message: `no entry of ${service} can be read: ${[...flaws].join(', ')}`,
    service,
    stack: false,
  })
}

function isUndecodable(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === 'REPLY_UNDECODABLE'
}
