// States of processes in memory: compared and set within transactions, found by what they wait for.
import type { Clock } from '../../../core/clock.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/classes.ts'
import { type MemoryTransaction, StagedMap } from './transaction.ts'

/** A state as it is listed. */
export interface ListedState {
  readonly id: string
  readonly version: number
  readonly state: unknown
  readonly done: boolean
}

/** What may be said of a state besides itself. */
export interface StateOptions {
  readonly wakeAt?: number | undefined
  readonly correlations?: readonly string[] | 'kept' | undefined
  readonly done?: boolean | undefined
}

interface Entry {
  readonly kind: string
  readonly id: string
  readonly version: number
  /** JSON. */
  readonly text: string
  readonly wakeAt: number | undefined
  readonly correlations: readonly string[]
  /** Since when it is, on the clock of the store; undefined for one that is not. */
  readonly doneAt: number | undefined
}

const nameOf = (kind: string, name: string): string => JSON.stringify([kind, name])
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** What all views of a database share. */
export class StateTable {
  private readonly clock: Clock
  private readonly entries: StagedMap<Entry>
  /** Of those that are not done: kind and correlation to names of entries. */
  private readonly correlated = new Map<string, Set<string>>()

  constructor(clock: Clock) {
    this.clock = clock
    this.entries = new StagedMap((name, before, after) => this.index(name, before, after))
  }

  /** How many wake by themselves some time. */
  get waking(): number {
    let count = 0
    for (const [, { wakeAt }] of this.entries.entries()) if (wakeAt !== undefined) count++
    return count
  }

  load(
    tx: MemoryTransaction,
    kind: string,
    id: string,
  ): { readonly version: number; readonly state: unknown } | undefined {
    const entry = this.entries.look(tx, nameOf(kind, id))
    return entry === undefined ? undefined : { version: entry.version, state: JSON.parse(entry.text) }
  }

  find(tx: MemoryTransaction, kind: string, correlation: string): string | undefined {
    const candidates = [...(this.correlated.get(nameOf(kind, correlation)) ?? []), ...this.entries.written(tx).keys()]
    for (const name of candidates) {
      const entry = this.entries.look(tx, name)
      if (entry?.kind === kind && entry.correlations.includes(correlation)) return entry.id
    }
    return undefined
  }

  save(
    tx: MemoryTransaction,
    kind: string,
    id: string,
    expected: number,
    state: unknown,
    options: StateOptions,
  ): boolean {
    const { wakeAt, correlations = [], done = false } = options
    const text = JSON.stringify(state) as string | undefined
    if (text === undefined)
      throw createError({ code: 'INVALID_INPUT', message: `the state of ${kind} ${id} is no JSON: ${typeof state}` })
    const name = nameOf(kind, id)
    // Rests on it: of two that save the same version one is told so at its commit.
    const found = this.entries.read(tx, name)
    if ((found?.version ?? 0) !== expected) return false
    this.entries.write(tx, name, {
      kind,
      id,
      version: expected + 1,
      text,
      wakeAt: done ? undefined : wakeAt,
      correlations: done ? [] : [...(correlations === 'kept' ? (found?.correlations ?? []) : correlations)],
      doneAt: done ? (found?.doneAt ?? this.clock.now()) : undefined,
    })
    return true
  }

  due(kind: string, now: number, limit: number): readonly string[] {
    const due: { readonly id: string; readonly wakeAt: number }[] = []
    for (const [, entry] of this.entries.entries())
      if (entry.kind === kind && entry.wakeAt !== undefined && entry.wakeAt <= now)
        due.push({ id: entry.id, wakeAt: entry.wakeAt })
    return due
      .sort((a, b) => a.wakeAt - b.wakeAt || byText(a.id, b.id))
      .slice(0, countOption('limit', limit, 0, 0))
      .map(({ id }) => id)
  }

  list(kind: string, limit: number, after: string | undefined): readonly ListedState[] {
    const listed: ListedState[] = []
    for (const [, { kind: of, id, version, text, doneAt }] of this.entries.entries())
      if (of === kind && (after === undefined || id > after))
        listed.push({ id, version, state: JSON.parse(text), done: doneAt !== undefined })
    return listed.sort((a, b) => byText(a.id, b.id)).slice(0, countOption('limit', limit, 0, 0))
  }

  purge(kind: string, olderThanMs: number, limit: number): number {
    const before = this.clock.now() - ageOption('olderThanMs', olderThanMs)
    const most = countOption('limit', limit, 0, 0)
    const over: { readonly name: string; readonly doneAt: number }[] = []
    for (const [name, { kind: of, doneAt }] of this.entries.entries())
      if (of === kind && doneAt !== undefined && doneAt <= before) over.push({ name, doneAt })
    const gone = over.sort((a, b) => a.doneAt - b.doneAt).slice(0, most)
    for (const { name } of gone) this.entries.drop(name)
    return gone.length
  }

  private index(name: string, before: Entry | undefined, after: Entry | undefined): void {
    for (const each of before?.correlations ?? []) {
      const key = nameOf((before as Entry).kind, each)
      const names = this.correlated.get(key)
      names?.delete(name)
      if (names?.size === 0) this.correlated.delete(key)
    }
    for (const each of after?.correlations ?? []) {
      const key = nameOf((after as Entry).kind, each)
      const names = this.correlated.get(key)
      if (names === undefined) this.correlated.set(key, new Set([name]))
      else names.add(name)
    }
  }
}
