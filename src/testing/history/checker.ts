// Judges what a system did under faults from what it wrote down: the promises of outbox and inbox as a program (after Jepsen and Elle, with histories of one's own making).
import { countOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import type {
  AppliedEvent,
  HistoryChecker,
  HistoryEvent,
  HistoryOptions,
  HistoryReport,
  HistoryRule,
  HistoryViolation,
  SentEvent,
} from './types.ts'

/** Effects of one consumer. */
interface Effects {
  /** The first application of each message. */
  readonly first: Map<string, First>
  /** The furthest of each key. */
  readonly furthest: Map<string, AppliedEvent>
}

interface First {
  readonly effect: AppliedEvent
  /** Among all effects of its consumer. */
  readonly place: number
}

/**
 * Makes a checker for histories of any length: it keeps one record for each message and each effect, and judges order and repetition as they come.
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function historyChecker(options: HistoryOptions = {}): HistoryChecker {
  knownOptions('historyChecker', options, ['consumers', 'applies', 'limit'])
  const notes = notebook(countOption('limit', options.limit, 10, 0))
  const sent = new Map<string, SentEvent>()
  const consumers = new Map<string, Effects>()
  let applied = 0

  const effectsOf = (consumer: string): Effects => {
    let effects = consumers.get(consumer)
    if (effects === undefined) {
      effects = { first: new Map(), furthest: new Map() }
      consumers.set(consumer, effects)
    }
    return effects
  }
  for (const consumer of options.consumers ?? []) effectsOf(consumer)

  const addSent = (event: SentEvent): void => {
    const known = sent.get(event.id)
    // Whoever could not know at first may have found out later.
    const settles = known?.event === 'maybe' && known.key === event.key && known.n === event.n
    if (known !== undefined && !settles)
      throw invalid(event, `it is recorded twice: also as key ${show(known.key)} n ${known.n}`)
    sent.set(event.id, event)
  }

  const addApplied = (effect: AppliedEvent): void => {
    const { consumer, key, n, id } = effect
    const { first, furthest } = effectsOf(consumer)
    applied++
    const earlier = first.get(id)
    if (earlier !== undefined) {
      const between = first.size - 1 - earlier.place
      notes.add('twice', effect, `${consumer} applied ${name(effect)} again, ${between} other messages after the first`)
      return
    }
    first.set(id, { effect, place: first.size })
    const before = furthest.get(key)
    if (before === undefined || n > before.n) furthest.set(key, effect)
    else
      notes.add(
        'order',
        effect,
        `${consumer} applied key ${show(key)} in a wrong order: expected an n above ${before.n} (id ${before.id}), saw n ${n} (id ${id})`,
      )
  }

  return {
    add(event) {
      if (!Number.isFinite(event.n)) throw invalid(event, `its n is ${String(event.n)}: give a number`)
      if (event.event === 'applied') addApplied(event)
      else addSent(event)
    },
    report() {
      const found = notes.copy()
      const applies = options.applies ?? (() => true)
      const proven = provenBy(consumers, sent)
      for (const message of sent.values()) {
        if (message.event === 'maybe' && !proven.has(message.id)) continue
        if (consumers.size === 0)
          found.add('lost', { ...message, consumer: '' }, `nobody ever applied ${name(message)}`)
        for (const [consumer, effects] of consumers)
          if (!effects.first.has(message.id) && applies(consumer, message))
            found.add('lost', { ...message, consumer }, lostWords(consumer, message, effects))
      }
      for (const { first } of consumers.values())
        for (const { effect } of first.values()) {
          const message = sent.get(effect.id)
          const words = message === undefined ? 'which nobody published' : mismatch(effect, message)
          if (words !== undefined) found.add('invented', effect, `${effect.consumer} applied ${name(effect)}, ${words}`)
          else if (message !== undefined) lookForCauses(effect, message, consumers, found)
        }
      const maybe = [...sent.values()].filter(({ event }) => event === 'maybe')
      return found.report({
        sent: sent.size - maybe.length,
        maybe: maybe.length,
        maybeCommitted: maybe.filter(({ id }) => proven.has(id)).length,
        applied,
      })
    },
  }
}

// A commit of unknown outcome went well if anybody saw it; then all have to.
function provenBy(consumers: ReadonlyMap<string, Effects>, sent: ReadonlyMap<string, SentEvent>): Set<string> {
  const proven = new Set<string>()
  for (const { first } of consumers.values()) for (const id of first.keys()) proven.add(id)
  // What was published while a message was handled is as good a proof.
  for (const { event, causes } of sent.values()) if (event === 'sent') for (const id of causes ?? []) proven.add(id)
  return proven
}

function lookForCauses(
  effect: AppliedEvent,
  { causes, by }: SentEvent,
  consumers: ReadonlyMap<string, Effects>,
  found: Notebook,
): void {
  for (const cause of causes ?? []) {
    const who = by === undefined ? [...consumers.keys()] : [by]
    const seen = who.flatMap((consumer) => consumers.get(consumer)?.first.get(cause) ?? [])
    if (seen.some((first) => mayPrecede(first, effect, consumers))) continue
    const state = seen.length === 0 ? 'never applied' : 'applied only later'
    const whose = by === undefined ? '' : ` by ${by}`
    found.add(
      'cause',
      effect,
      `${effect.consumer} applied ${name(effect)} before its cause (id ${cause}), which was ${state}${whose}`,
    )
  }
}

function mayPrecede(cause: First, effect: AppliedEvent, consumers: ReadonlyMap<string, Effects>): boolean {
  if (cause.effect.consumer === effect.consumer)
    return cause.place < (consumers.get(effect.consumer)?.first.get(effect.id)?.place ?? Number.POSITIVE_INFINITY)
  if (cause.effect.at === undefined || effect.at === undefined) return true
  return cause.effect.at < effect.at
}

function mismatch(effect: AppliedEvent, { key, n }: SentEvent): string | undefined {
  return effect.key === key && effect.n === n ? undefined : `which was published as key ${show(key)} n ${n}`
}

function lostWords(consumer: string, message: SentEvent, { furthest }: Effects): string {
  const last = furthest.get(message.key)
  const state =
    last === undefined ? 'it applied nothing of this key' : `the furthest that it applied of this key is n ${last.n}`
  return `${consumer} never applied ${name(message)}: ${state}`
}

interface Named {
  readonly consumer: string
  readonly key: string
  readonly n: number
  readonly id: string
}

interface Notebook {
  add(rule: HistoryRule, about: Named, message: string): void
  copy(): Notebook
  report(numbers: Pick<HistoryReport, 'sent' | 'maybe' | 'maybeCommitted' | 'applied'>): HistoryReport
}

function notebook(
  limit: number,
  broken: Record<HistoryRule, number> = { lost: 0, twice: 0, order: 0, cause: 0, invented: 0 },
  violations: HistoryViolation[] = [],
): Notebook {
  return {
    add(rule, { consumer, key, n, id }, message) {
      if (broken[rule]++ < limit) violations.push({ rule, consumer, key, n, id, message })
    },
    copy: () => notebook(limit, { ...broken }, [...violations]),
    report: (numbers) => ({ ok: Object.values(broken).every((count) => count === 0), ...numbers, broken, violations }),
  }
}

// A key may be long, or hold what no terminal should be shown.
function show(key: string): string {
  return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key)
}

function name({ key, n, id }: { readonly key: string; readonly n: number; readonly id: string }): string {
  return `key ${show(key)} n ${n} (id ${id})`
}

function invalid(event: HistoryEvent, words: string): Error {
  return createError({
    code: 'INVALID_INPUT',
    message: `the history cannot be judged: ${event.event} ${event.id}: ${words}`,
  })
}
