// One poll of the whole registry for all watches of a source: changes only, and everything where changes cannot be trusted.
import type { SourceUpdate, SourceWatch } from '../../core/contracts/source.ts'
import { keepAsking } from '../../discovery/asking.ts'
import type { FairleadError } from '../../errors/base.ts'
import { statusError } from '../registry/answer.ts'
import type { ServerSettings } from './options.ts'
import { registryView } from './registry-view.ts'
import type { EurekaServers } from './servers.ts'
import { type EurekaApplications, type EurekaInstance, JSON_PLEASE, readApplications } from './wire.ts'

/** How the registry is polled. */
export interface RegistryPollOptions {
  readonly settings: ServerSettings
  readonly servers: EurekaServers
  /** Milliseconds to the next question, drawn anew each time. */
  readonly pause: () => number
}

/** Hears of one application: its instances, undefined when there is none of that name, or why nothing is known. */
export interface ApplicationListener {
  readonly application: string
  heard(instances: readonly EurekaInstance[] | undefined): void
  failed(update: Extract<SourceUpdate, { readonly type: 'error' }>): void
}

/** The poll. It begins when it is made. */
export interface RegistryPoll extends SourceWatch {
  add(listener: ApplicationListener): void
  remove(listener: ApplicationListener): void
}

// The registry keeps changes for three minutes, and answers from caches that may be half a minute old, twice with peers.
const CHANGES_REACH_MS = 120_000
// The registry's count sees no two mistakes that make up for each other: now and then everything is asked for anyway.
const FULL_EVERY_MS = 10 * 60_000

/** Starts polling. */
export function registryPoll(options: RegistryPollOptions): RegistryPoll {
  const { settings, servers, pause } = options
  const { clock } = settings
  const view = registryView()
  const listeners = new Set<ApplicationListener>()
  let known = false
  let failure: Extract<SourceUpdate, { readonly type: 'error' }> | undefined
  let server: number | undefined
  let freshAt = Number.NEGATIVE_INFINITY
  let fullAt = Number.NEGATIVE_INFINITY

  const all = async (signal: AbortSignal): Promise<void> => {
    const said = await servers.ask({ path: '/apps', headers: JSON_PLEASE, signal }, (answer) => {
      const applications = readApplications(answer)
      if (applications === undefined) throw statusError('Eureka', answer)
      return applications
    })
    view.replace(said.value)
    server = said.server
    fullAt = clock.now()
  }

  // False where they cannot be had, or do not lead to what the registry counts.
  const changes = async (signal: AbortSignal): Promise<boolean> => {
    const now = clock.now()
    if (!(now - freshAt < CHANGES_REACH_MS && now - fullAt < FULL_EVERY_MS)) return false
    const said = await servers
      .ask<EurekaApplications | undefined>(
        { path: '/apps/delta', headers: JSON_PLEASE, signal },
        // 403: switched off at this server.
        (answer) => (answer.status === 403 ? undefined : readApplications(answer)),
      )
      .catch((error: FairleadError) => {
        // It answers, if not with changes: it may have the whole.
        if (error.kind === 'response' || error.kind === 'arbitrary') return undefined
        throw error
      })
    // Another server's changes do not go with this one's state: each has its own row of them.
    if (said?.value === undefined || said.server !== server) return false
    view.apply(said.value)
    if (said.value.hash !== undefined && view.hash() === said.value.hash) return true
    // Not to be shown to anybody until it is replaced.
    known = false
    fullAt = Number.NEGATIVE_INFINITY
    return false
  }

  const tell = (listener: ApplicationListener): void => listener.heard(view.instances(listener.application))

  const watch = keepAsking({
    clock,
    random: settings.random,
    async ask(signal) {
      if (!(await changes(signal))) await all(signal)
      freshAt = clock.now()
      known = true
      failure = undefined
      for (const listener of listeners) tell(listener)
      return { update: undefined, againMs: pause() }
    },
    sink(update) {
      if (update.type !== 'error') return
      failure = update
      for (const listener of listeners) listener.failed(update)
    },
    end: () => servers.close(),
  })

  return {
    add(listener) {
      listeners.add(listener)
      // Not before `watch` has returned to whoever asks.
      queueMicrotask(() => {
        if (known && listeners.has(listener)) tell(listener)
        if (failure !== undefined && listeners.has(listener)) listener.failed(failure)
      })
    },
    remove(listener) {
      listeners.delete(listener)
    },
    refresh: () => watch.refresh(),
    close: () => watch.close(),
  }
}
