// The watch over one service: a list, then every change from there on. After a break it goes on where it was, or begins anew where that is lost.
import { detached } from '../../core/async-context.ts'
import type { Timer } from '../../core/clock.ts'
import type { SourceUpdate, SourceWatch } from '../../core/contracts/source.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { jsonOf } from '../registry/answer.ts'
import { readText } from '../registry/read-text.ts'
import type { Access } from './access.ts'
import { askedToWait, type Refusal, refusal, refusedEvent } from './answers.ts'
import { type ApiConnection, apiConnection } from './connection.ts'
import { endpointsOf, type Taking } from './endpoints.ts'
import { lineReader } from './lines.ts'
import type { KubernetesSettings } from './options.ts'
import type { ServiceName } from './service-name.ts'
import { readEvent, sliceStore } from './slice-store.ts'

const LEAST_PAUSE_MS = 1_000
const MOST_PAUSE_MS = 30_000
const LONGEST_ASKED_WAIT_MS = 300_000
// A refresh that follows another this closely waits for it.
const REFRESH_GAP_MS = 1_000
// What changes is pushed: a refresh only makes sure that the watch is alive, and a storm of failed calls must not become one of handshakes.
const CHECK_GAP_MS = 10_000
// A watch that ends sooner and brought nothing was none.
const SHORT_WATCH_MS = 1_000
// All clients of a server that goes away lose their watches at one instant.
const SPREAD_MS = 200
const REFUSALS_UNTIL_LIST = 3
const LONGEST_REFUSAL = 1024 * 1024

/**
 * How the next list is asked for. `any`: nothing is known yet, and what the server has at hand will do. `not-older` than what we hold, after
 * a break: never back to an older state because another server answers. `latest`: our version is lost, only the truth helps.
 */
type ListMode = 'any' | 'not-older' | 'latest'

/** Watches a service until closed. The first question goes out at once. */
export function watchSlices(
  settings: KubernetesSettings,
  access: Access,
  service: ServiceName,
  sink: (update: SourceUpdate) => void,
): SourceWatch {
  return new SliceWatch(settings, access, service, sink)
}

class SliceWatch implements SourceWatch {
  readonly #settings: KubernetesSettings
  readonly #access: Access
  readonly #service: ServiceName
  readonly #sink: (update: SourceUpdate) => void
  readonly #store = sliceStore()
  readonly #connection: ApiConnection
  readonly #closed = new AbortController()
  readonly #done: Promise<void>
  #list: ListMode | undefined = 'any'
  #version = ''
  #taking: Taking | undefined
  // Something is to be told with the next good answer, changed or not: the first one, or that an error is over.
  #owed = true
  #failures = 0
  #refusals = 0
  #renewed = false
  #askedAt = Number.NEGATIVE_INFINITY
  #heardAt = Number.NEGATIVE_INFINITY
  #following: AbortController | undefined
  #pausing: { readonly until: number; readonly end: () => void } | undefined
  #timer: Timer | undefined
  #closing: Promise<void> | undefined

  constructor(
    settings: KubernetesSettings,
    access: Access,
    service: ServiceName,
    sink: (update: SourceUpdate) => void,
  ) {
    this.#settings = settings
    this.#access = access
    this.#service = service
    this.#sink = sink
    this.#connection = apiConnection(settings, access)
    // A watch outlives the call that happened to start it, and `watch` has to return before anything is told.
    this.#done = detached(() => Promise.resolve().then(() => this.#run()))
  }

  refresh(): void {
    const now = this.#settings.clock.now()
    if (this.#pausing !== undefined) {
      const ms = Math.max(this.#askedAt + REFRESH_GAP_MS - now, 0)
      if (now + ms < this.#pausing.until) this.#arm(ms)
    } else if (this.#following !== undefined && now - Math.max(this.#heardAt, this.#askedAt) >= CHECK_GAP_MS)
      this.#following.abort(new Error('asked again'))
  }

  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #end(): Promise<void> {
    this.#closed.abort(new Error('the watch is closed'))
    this.#pausing?.end()
    await this.#connection.close()
    await this.#done
  }

  get #over(): boolean {
    return this.#closed.signal.aborted
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      try {
        if (this.#list !== undefined) await this.#readList(this.#list)
        else await this.#follow()
      } catch (error) {
        if (!this.#over) await this.#fail(error)
      }
    }
  }

  async #path(query: Readonly<Record<string, string>>): Promise<string> {
    const { name } = this.#service
    const namespace = this.#service.namespace ?? (await this.#access.namespace())
    this.#taking ??= { ...this.#settings, hostname: this.#settings.hostname ?? `${name}.${namespace}.svc` }
    const search = new URLSearchParams({ labelSelector: `kubernetes.io/service-name=${name}`, ...query })
    return `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices?${search}`
  }

  async #readList(mode: ListMode): Promise<void> {
    this.#askedAt = this.#settings.clock.now()
    const client = await this.#connection.client()
    const path = await this.#path(listQuery(mode, this.#version))
    const answer = await client.request({ path, signal: this.#closed.signal }).catch((error: unknown) => {
      // A server that is behind keeps its answer back for seconds, and one that was put back to an older state is behind for good.
      if (mode === 'not-older' && codeOf(error) === 'ATTEMPT_TIMEOUT') this.#list = 'latest'
      throw error
    })
    if (answer.status >= 400) return this.#refused(refusal(answer), mode)
    const { changed, version } = this.#store.replace(jsonOf('Kubernetes', answer))
    this.#version = version
    this.#list = undefined
    this.#renewed = false
    if (changed || this.#owed) this.#tell()
  }

  async #follow(): Promise<void> {
    const { clock, random, idleMs } = this.#settings
    this.#askedAt = clock.now()
    const client = await this.#connection.client()
    // The server ends the watch after this; at random, so that those who began together do not go on together.
    const timeoutSeconds = 240 + Math.floor(random() * 360)
    const path = await this.#path({
      watch: '1',
      resourceVersion: this.#version,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(timeoutSeconds),
    })
    const following = new AbortController()
    const leave = (): void => following.abort(this.#closed.signal.reason)
    if (this.#over) return
    this.#closed.signal.addEventListener('abort', leave, { once: true })
    let heard = false
    let refused: Refusal | undefined
    let broken: unknown
    try {
      const stream = await client.stream({ path, idleMs, signal: following.signal })
      if (stream.status >= 400) {
        const text = await readText(stream.body, stream.headers['content-encoding'], LONGEST_REFUSAL)
        refused = refusal({ status: stream.status, headers: stream.headers, text })
      } else {
        this.#following = following
        this.#renewed = false
        if (this.#owed) this.#tell()
        const lines = lineReader()
        for await (const piece of stream.body) {
          heard = this.#hear(lines.push(piece), (event) => (refused = event)) || heard
          if (refused !== undefined) break
        }
      }
    } catch (error) {
      broken = error
    } finally {
      this.#closed.signal.removeEventListener('abort', leave)
    }
    const began = this.#following !== undefined
    this.#following = undefined
    if (this.#over) return
    const livedMs = clock.now() - this.#askedAt
    if (began && livedMs >= SHORT_WATCH_MS) this.#worked()
    if (refused !== undefined) return this.#refused(refused, undefined)
    // Ended by `refresh`: the next one, from the same version, brings what this one may have missed.
    if (following.signal.aborted || (broken === undefined && livedMs >= timeoutSeconds * 1_000 - SHORT_WATCH_MS)) return
    // The server has gone, perhaps to come back with an older state, and another one may be behind.
    this.#list = 'not-older'
    if (!began || isUnreadable(broken) || !(heard || livedMs >= SHORT_WATCH_MS)) throw broken ?? tooShort()
    await this.#pause(random() * SPREAD_MS)
  }

  // Tells once for all that came together: a list of changes is one change. Answers whether there was an event at all.
  #hear(lines: readonly string[], refuse: (refused: Refusal) => void): boolean {
    let changed = false
    let heard = false
    try {
      for (const line of lines) {
        const event = readEvent(line)
        if (event.type === 'ERROR') {
          refuse(refusedEvent(event.object))
          break
        }
        heard = true
        changed = this.#store.apply(event) || changed
        // Last, so that what could not be read is not passed over.
        if (event.version !== undefined) this.#version = event.version
      }
    } finally {
      if (heard) {
        this.#heardAt = this.#settings.clock.now()
        this.#worked()
      }
      if (changed) this.#tell()
    }
    return heard
  }

  #worked(): void {
    this.#failures = 0
    this.#refusals = 0
  }

  // The first refusal that there is a way out of is not worth a word; a second one in a row is.
  async #refused({ error, status, version }: Refusal, mode: ListMode | undefined): Promise<void> {
    if (status === 401) {
      this.#access.renew()
      if (!this.#renewed) {
        this.#renewed = true
        return
      }
    }
    const refusals = ++this.#refusals
    if (version !== 'fine') {
      this.#list = 'latest'
      // What the server forgets, it forgets for all of its clients.
      if (refusals === 1) return this.#pause(this.#settings.random() * SPREAD_MS)
    } else if (status === 400 || (mode === undefined && status >= 500 && refusals >= REFUSALS_UNTIL_LIST)) {
      this.#list = 'latest'
    }
    throw error
  }

  async #fail(error: unknown): Promise<void> {
    const { random } = this.#settings
    const ms = Math.min(LEAST_PAUSE_MS * 2 ** Math.min(this.#failures++, 20), MOST_PAUSE_MS)
    const asked = Math.min(askedToWait(error), LONGEST_ASKED_WAIT_MS)
    const retryInMs = Math.max(ms / 2, asked) + (random() * ms) / 2
    this.#owed = true
    this.#connection.suspect()
    this.#say({ type: 'error', error, retryInMs })
    await this.#pause(retryInMs)
  }

  #tell(): void {
    const { size, unreadable } = this.#store
    this.#owed = false
    // The cluster keeps a slice for every service that selects pods, also for one with none: no slice means no such service.
    if (size === 0 && unreadable === 0) {
      this.#say({ type: 'absent' })
      return
    }
    if (this.#taking === undefined) return
    if (this.#store.saysNothing) {
      this.#say({ type: 'error', error: nothingRead() })
      return
    }
    const { endpoints, note } = endpointsOf(this.#store.slices(), this.#taking)
    const lost = unreadable === 0 ? undefined : `${unreadable} unreadable slices left out`
    const notes = [lost, note].filter((each) => each !== undefined).join('; ')
    this.#say({ type: 'snapshot', endpoints, ...(notes === '' ? {} : { note: notes }) })
  }

  #say(update: SourceUpdate): void {
    if (this.#over) return
    try {
      this.#sink(update)
    } catch {
      // The listener's fault must not end the watch.
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#over) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        this.#disarm()
        this.#pausing = undefined
        resolve()
      }
      this.#pausing = { until: this.#settings.clock.now() + ms, end }
      this.#arm(ms)
    })
  }

  #arm(ms: number): void {
    this.#disarm()
    const { clock } = this.#settings
    this.#timer = detached(() => clock.setTimer(() => this.#pausing?.end(), ms, undefined))
    clock.unref(this.#timer)
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#settings.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }
}

function listQuery(mode: ListMode, version: string): Readonly<Record<string, string>> {
  if (mode === 'any') return { resourceVersion: '0' }
  return mode === 'latest' ? {} : { resourceVersion: version, resourceVersionMatch: 'NotOlderThan' }
}

function codeOf(error: unknown): string | undefined {
  return isFairleadError(error) ? error.code : undefined
}

function isUnreadable(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'REPLY_UNDECODABLE' || code === 'REPLY_TOO_LARGE'
}

function nothingRead(): Error {
  const message = 'Kubernetes answered slices of which not one endpoint can be read'
  return createError({ code: 'REPLY_INVALID', message, stack: false })
}

function tooShort(): Error {
  const message = 'the watch ended as soon as it had begun'
  return createError({ code: 'CONNECTION_LOST', message, stack: false })
}
