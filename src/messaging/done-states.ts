// Deletes states that were over for long enough, of processes and of stored requests: nobody asks for them any more, and the table would grow for ever.
import type { InboxStore, StateStore } from '../core/contracts/store.ts'
import { ageOption, durationOption, invalidOption } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import { classify } from '../errors/classify.ts'
import type { World } from '../policies/seams.ts'
import { Purger } from './inbox/purger.ts'

/** How long states that are done are kept, and how often is looked for older ones. */
export interface Keeping {
  readonly doneMs: number
  readonly everyMs: number
}

/** What a keeping is made of. */
export interface KeepingOptions {
  readonly store: {
    readonly inbox: Pick<InboxStore<unknown>, 'retentionMs'>
    readonly states: Pick<StateStore<unknown>, 'purge'>
  }
  readonly keepDoneMs?: number | undefined
  readonly purgeEveryMs?: number | false | undefined
}

/**
 * Held against the time for which the inbox remembers messages; absent, it is that time.
 * @param danger what a message could do whose state is gone while the inbox does not know it
 * @param wayOut what to give so that nothing is purged
 * @throws FairleadError `INVALID_OPTIONS`
 */
export function keepingOf(
  { store, keepDoneMs, purgeEveryMs }: KeepingOptions,
  danger: string,
  wayOut: string,
): Keeping {
  const retentionMs = ageOption('inbox.retentionMs', Number(store.inbox.retentionMs))
  const doneMs = ageOption('keepDoneMs', keepDoneMs, retentionMs)
  if (doneMs < retentionMs)
    throw invalidOption(
      'keepDoneMs',
      keepDoneMs,
      `${danger}: give at least the ${retentionMs} ms for which the inbox of the store remembers messages (inboxRetentionMs), or leave it out`,
    )
  if (typeof store.states.purge !== 'function')
    throw invalidOption('store', store, `its states cannot be purged: give another one, or ${wayOut}`)
  return {
    doneMs,
    // Where something else looks after the inbox, it does not look after these.
    everyMs: durationOption('purgeEveryMs', purgeEveryMs === false ? undefined : purgeEveryMs, 600_000),
  }
}

/** Purges the states of a kind, once it is started. */
export function donePurger(
  states: Pick<StateStore<unknown>, 'purge'>,
  kind: string,
  { doneMs, everyMs }: Keeping,
  { clock, random }: Pick<World, 'clock' | 'random'>,
  told: { purged(count: number): void; failed(error: FairleadError): void },
): Purger {
  const over = {
    retentionMs: doneMs,
    purge: (olderThanMs: number, limit: number) => states.purge(kind, olderThanMs, limit),
  }
  return new Purger(over, everyMs, clock, random, {
    purged: (count) => told.purged(count),
    failed: (error) => told.failed(classify(error)),
  })
}
