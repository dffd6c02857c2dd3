// Several registries as one source: side by side, one in place of another, or one before another. Each is a source again, so they nest.
import type { Endpoint, Source, SourceUpdate } from '../core/contracts/source.ts'
import { checkSources, composedFacts, type Part, partsOf } from './composed-part.ts'
import { EndpointMerger } from './merge-endpoints.ts'
import { quietSink } from './quiet-sink.ts'

/**
 * Everybody whom any of the sources knows. Announced in several at one address: one endpoint, as the earliest source has it.
 * A source that fails leaves what it said in force; all of them have to fail to be an error. Nobody is told while one of them has not answered yet.
 *
 * A discovery doubts a mass loss by the sum of the sources (`massLoss`): where one of two that have ten each comes back empty, half are left and its
 * ten are gone at once. Where one of them may lose its memory, let `massLoss.share` be above the share of the others (0.6 for two of one size).
 * @throws FairleadError INVALID_OPTIONS
 * @example unionSources(kubernetesSource(), eurekaSource({ urls }))
 */
export function unionSources(...sources: readonly Source[]): Source {
  return together('union', 'unionSources', sources, (endpoints) => endpoints)
}

/**
 * As `unionSources`, and each source's endpoints come before all of the next one's: those are called only when nobody of the earlier ones can be.
 * Within a source its own priorities hold. A mass loss is judged by the sum of the sources, as with `unionSources`.
 * @throws FairleadError INVALID_OPTIONS
 * @example prioritySources(localZone, otherZone)
 */
export function prioritySources(...sources: readonly Source[]): Source {
  return together('priority', 'prioritySources', sources, ranked)
}

/**
 * The first source that has somebody. A later one is asked only while all earlier ones have nobody, know no such service, or fail without ever having answered;
 * one that fails after it has answered keeps its word. It is let go as soon as an earlier one has somebody.
 * @throws FairleadError INVALID_OPTIONS
 * @example fallbackSources(consulSource(), fileSource({ path: '/etc/endpoints.json' }))
 */
export function fallbackSources(...sources: readonly Source[]): Source {
  checkSources('fallbackSources', sources)
  const facts = composedFacts('fallback', sources)
  return {
    ...facts,
    watch(service, listener) {
      const sink = quietSink(listener)
      let told = false
      let closed = false
      let parts: Part[] = []
      const merger = new EndpointMerger()
      const closing = new Set<Promise<void>>()
      const letGo = (part: Part): void => {
        const ending = part.close().catch(() => {})
        closing.add(ending)
        void ending.then(() => closing.delete(ending))
      }
      const decide = (): void => {
        if (closed) return
        const at = parts.findIndex((part) => part.hasSomebody || (!part.answered && !part.failing))
        const chosen = parts[at]
        if (chosen?.hasSomebody) {
          for (const later of parts.splice(at + 1)) letGo(later)
          told = true
          // By index in the sources: an id that two of them have is then two.
          sink(answer(merger.merge(sharesOf(parts, sources, (part) => part === chosen)), parts))
          return
        }
        // One that is being asked for the first time: its word is waited for.
        if (chosen !== undefined) return
        if (parts.length < sources.length) {
          begin()
          return
        }
        const known = told || parts.every(({ answered }) => answered)
        const update = known && !parts.every(({ failing }) => failing) ? empty(parts) : failure(parts)
        told ||= update.type !== 'error'
        sink(update)
      }
      const begin = (): void => {
        const part = partsOf(sources, facts.remote)[parts.length] as Part
        parts.push(part)
        part.watch(service, decide)
      }
      begin()
      return {
        refresh() {
          for (const part of parts) part.refresh()
        },
        async close() {
          closed = true
          for (const part of parts) letGo(part)
          parts = []
          await Promise.all(closing)
        },
      }
    },
  }
}

type Ranking = (endpoints: readonly Endpoint[], before: number) => readonly Endpoint[]

function together(kind: string, what: string, sources: readonly Source[], rank: Ranking): Source {
  checkSources(what, sources)
  const facts = composedFacts(kind, sources)
  return {
    ...facts,
    watch(service, listener) {
      const sink = quietSink(listener)
      let told = false
      let closed = false
      const parts = partsOf(sources, facts.remote)
      const merger = new EndpointMerger()
      const tell = (): void => {
        if (closed) return
        if (parts.every(({ failing }) => failing)) {
          sink(failure(parts))
          return
        }
        let before = 0
        const shares = parts.map((part) => {
          const endpoints = rank(part.endpoints, before)
          before += ranksOf(part.endpoints).length
          return { name: part.source.name, endpoints }
        })
        const endpoints = merger.merge(shares)
        // Nobody, as far as is known: one that was not heard may know better, and errors never mean nobody.
        if (!told && endpoints.length === 0 && parts.some(({ answered }) => !answered)) {
          if (parts.some(({ failing }) => failing)) sink(failure(parts))
          return
        }
        told = true
        sink(endpoints.length === 0 ? empty(parts) : answer(endpoints, parts))
      }
      let begun = false
      for (const part of parts)
        part.watch(service, () => {
          // Those that answer at once make one word together, not one each.
          if (begun) tell()
        })
      begun = true
      if (parts.some(({ answered, failing }) => answered || failing)) tell()
      return {
        refresh() {
          for (const part of parts) part.refresh()
        },
        async close() {
          closed = true
          await Promise.allSettled(parts.map((part) => part.close()))
        },
      }
    },
  }
}

function sharesOf(
  parts: readonly Part[],
  sources: readonly Source[],
  wanted: (part: Part) => boolean,
): { readonly name: string; readonly endpoints: readonly Endpoint[] }[] {
  return sources.map(({ name }, index) => {
    const part = parts[index]
    return { name, endpoints: part !== undefined && wanted(part) ? part.endpoints : [] }
  })
}

// Dense ranks, so that nesting never runs out of numbers and a part's own numbers never reach into the next part's.
function ranked(endpoints: readonly Endpoint[], before: number): readonly Endpoint[] {
  const ranks = new Map(ranksOf(endpoints).map((rank, at) => [rank, before + at]))
  return endpoints.map((each) => ({ ...each, priority: ranks.get(rankOf(each)) as number }))
}

function ranksOf(endpoints: readonly Endpoint[]): readonly number[] {
  return [...new Set(endpoints.map(rankOf))].sort((a, b) => a - b)
}

function rankOf({ priority }: Endpoint): number {
  return typeof priority === 'number' && Number.isFinite(priority) ? priority : 0
}

function answer(endpoints: readonly Endpoint[], parts: readonly Part[]): SourceUpdate {
  const ttls = parts.flatMap(({ ttlMs }) => (ttlMs === undefined ? [] : [ttlMs]))
  const notes = parts.flatMap(notesOf)
  return {
    type: 'snapshot',
    endpoints,
    ...(ttls.length === 0 ? {} : { ttlMs: Math.min(...ttls) }),
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
  }
}

function empty(parts: readonly Part[]): SourceUpdate {
  return parts.every(({ absent }) => absent) ? { type: 'absent' } : answer([], parts)
}

// A part that fails while others answer is no error of the whole; an operator should still know.
function notesOf(part: Part): readonly string[] {
  const { note, failing, source } = part
  return [...(note === undefined ? [] : [`${source.name}: ${note}`]), ...(failing ? [failureNote(part)] : [])]
}

function failureNote({ source, error }: Part): string {
  return `${source.name} fails: ${error instanceof Error ? error.message : String(error)}`
}

function failure(parts: readonly Part[]): SourceUpdate {
  const failing = parts.filter((part) => part.failing)
  const pauses = failing.flatMap(({ retryInMs }) => (retryInMs === undefined ? [] : [retryInMs]))
  const [first] = failing
  const error =
    failing.length === 1
      ? first?.error
      : new AggregateError(
          failing.map((part) => part.error),
          failing.map(failureNote).join('; '),
        )
  return { type: 'error', error, ...(pauses.length === 0 ? {} : { retryInMs: Math.min(...pauses) }) }
}
