// What every store is told of how long it keeps things: one set of options and one set of defaults, whatever the database.
import { ageOption, invalidOption } from './options.ts'

/** How long a store keeps what is over. */
export interface KeepingOptions {
  /** Keep published rows until they are purged. Default false: they are deleted. */
  readonly archive?: boolean | undefined
  /** How long the inbox keeps what was applied, at least. Longer than the longest way of a redelivery, redrives of dead letters among them. Default 14 days. */
  readonly inboxRetentionMs?: number | undefined
  /** How long responses to requests with an `Idempotency-Key` are kept, at least. Default 24 hours. */
  readonly idempotencyRetentionMs?: number | undefined
}

/** The names of these options, for `knownOptions`. */
export const KEEPING: readonly (keyof KeepingOptions)[] = ['archive', 'inboxRetentionMs', 'idempotencyRetentionMs']

const DAY_MS = 86_400_000

/** Checked, with the defaults filled in. @throws FairleadError `INVALID_OPTIONS` */
export function keepingOf({ archive = false, inboxRetentionMs, idempotencyRetentionMs }: KeepingOptions): {
  readonly archive: boolean
  readonly inboxRetentionMs: number
  readonly idempotencyRetentionMs: number
} {
  if (typeof archive !== 'boolean') throw invalidOption('archive', archive, 'give true or false')
  return {
    archive,
    inboxRetentionMs: ageOption('inboxRetentionMs', inboxRetentionMs, 14 * DAY_MS, 1),
    idempotencyRetentionMs: ageOption('idempotencyRetentionMs', idempotencyRetentionMs, DAY_MS, 1),
  }
}
