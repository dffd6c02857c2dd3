// A read: from the copy where that is good enough, else from whoever can say.
import { ageOption, knownOptions } from '../../core/options.ts'
import type { ReplicaEvent } from '../../core/replica-events.ts'
import { createError } from '../../errors/classes.ts'
import type { Freshness } from './freshness.ts'
import type { ReplicaSettings } from './options.ts'
import type { ReplicaKey } from './table.ts'
import type { Reading, ReadOptions } from './types.ts'

/** What a read needs. */
export interface ReadingParts {
  readonly settings: ReplicaSettings
  readonly freshness: Freshness
  /** `revision`: code with a newer one has put its own in the place of this one. */
  state(): 'loaded' | 'loading' | 'revision'
  tell(event: ReplicaEvent): void
}

type Why = 'loading' | 'old' | 'missing' | 'revision'

/** @throws FairleadError `UNAVAILABLE`, `NOT_FOUND` */
export async function readCopy(
  parts: ReadingParts,
  key: ReplicaKey,
  options: ReadOptions<unknown, unknown>,
): Promise<Reading<unknown>> {
  knownOptions('read', options, ['maxAgeMs', 'otherwise', 'tx'])
  const { settings, freshness } = parts
  const { otherwise, tx } = options
  const maxAgeMs = options.maxAgeMs === undefined ? Infinity : ageOption('maxAgeMs', options.maxAgeMs)
  const state = parts.state()
  let why: Why = state === 'loaded' ? 'old' : state
  let ageMs = Infinity
  if (state === 'loaded') {
    ageMs = maxAgeMs === Infinity ? freshness.age() : await freshness.ageWithin(maxAgeMs)
    if (ageMs <= maxAgeMs) {
      const found = await settings.table.read(tx, key)
      if (found?.value !== undefined) return { value: found.value, version: found.version, from: 'copy', ageMs }
      // All entries are kept: what is not there does not exist.
      if (settings.keep === undefined) return { value: undefined, from: 'copy', ageMs }
      why = 'missing'
    }
  }
  parts.tell({ type: 'replica-missed', replica: settings.name, why, called: otherwise !== undefined })
  if (otherwise !== undefined) return { value: await otherwise(key), from: 'call', ageMs: 0 }
  const { name } = settings
  const says: Readonly<Record<Why, string>> = {
    loading: `the replica ${name} is not loaded yet`,
    old: `the replica ${name} is ${Math.round(ageMs)} ms old, and at most ${maxAgeMs} ms are wanted`,
    revision: `the replica ${name} is that of code with a newer revision now`,
    missing: `the replica ${name} keeps a part of the entries, and ${String(key)} is not among them`,
  }
  throw createError({
    code: why === 'missing' ? 'NOT_FOUND' : 'UNAVAILABLE',
    effect: 'none',
    message: `${says[why]}; give otherwise to ask its owner`,
    details: { replica: name, why, ...(why === 'old' ? { ageMs, maxAgeMs } : {}) },
  })
}
