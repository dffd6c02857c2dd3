// Options of an inbox, checked once, with the defaults filled in; and whether the store remembers for long enough.
import type { Layer } from '../../core/handler.ts'
import { ageOption, durationOption, invalidOption } from '../../core/options.ts'
import type { InboxOptions, InboxPlace } from './types.ts'

/** What a consumer with an inbox goes by. */
export interface InboxSettings {
  readonly place: InboxPlace<unknown>
  /** Who it is in the inbox. */
  readonly name: string
  readonly redriveWithinMs: number
  readonly purgeEveryMs: number | false
}

/** What it depends on of the consumer. */
export interface InboxSurroundings {
  readonly channel: { readonly kind: 'queue' | 'topic'; readonly name: string }
  readonly group: string | undefined
  readonly deadLetter: unknown
  readonly immediate: number
  readonly delayedMs: readonly number[]
  readonly jitter: number
  readonly handlerTimeoutMs: number
  readonly layers: readonly Layer[]
}

/**
 * Marks layers that remember which messages were handled. They stand inside the transaction and remember before its commit: what is undone after that would be taken for a
 * duplicate, and be lost.
 */
export const REMEMBERS: unique symbol = Symbol.for('fairlead.remembers') as never

const DAY_MS = 86_400_000

/** @throws FairleadError `INVALID_OPTIONS` */
export function inboxSettings(
  options: { readonly [K in keyof InboxOptions<unknown>]?: InboxOptions<unknown>[K] | undefined },
  around: InboxSurroundings,
): InboxSettings | undefined {
  const { inbox: place } = options
  if (place === undefined) {
    for (const option of ['name', 'redriveWithinMs', 'purgeEveryMs'] as const)
      if (options[option] !== undefined)
        throw invalidOption(option, options[option], 'it is about the inbox of the consumer: give `inbox` as well')
    return undefined
  }
  if (typeof place?.transaction !== 'function' || typeof place.inbox?.claim !== 'function')
    throw invalidOption('inbox', place, 'give a store: postgresStore(...), memoryStore() or another one')
  const remembering = around.layers.find((layer) => REMEMBERS in layer)
  if (remembering !== undefined)
    throw invalidOption(
      'layers',
      remembering,
      'windowDedupe remembers a message before its transaction is committed, and would drop it when it comes again; the inbox leaves duplicates out already',
    )
  const redriveWithinMs = ageOption(
    'redriveWithinMs',
    options.redriveWithinMs,
    around.deadLetter === 'drop' ? 0 : 7 * DAY_MS,
  )
  const settings: InboxSettings = {
    place,
    name: nameOf(options.name, around),
    redriveWithinMs,
    purgeEveryMs:
      options.purgeEveryMs === false ? false : durationOption('purgeEveryMs', options.purgeEveryMs, 600_000),
  }
  checkRetention(place.inbox.retentionMs, redriveWithinMs, around)
  return settings
}

function nameOf(name: string | undefined, { group, channel }: InboxSurroundings): string {
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.includes('\0')))
    throw invalidOption('name', name, 'give a name, or leave it out')
  // Each of them gets every message: with one name only one of them would handle it.
  if (name === undefined && group === undefined && channel.kind === 'topic')
    throw invalidOption(
      'name',
      name,
      `a live subscription of ${channel.name} has no group to be known by: give each of its processes a name that survives a restart`,
    )
  return name ?? group ?? channel.name
}

// The longest way of a message from its first commit to its last copy: each delivery may take all its attempts to their end, and wait its longest.
function checkRetention(retentionMs: number, redriveWithinMs: number, around: InboxSurroundings): void {
  const { immediate, delayedMs, jitter, handlerTimeoutMs } = around
  // Left alone after twice its time.
  const handlingMs = (delayedMs.length + 1) * (immediate + 1) * handlerTimeoutMs * 2
  const waitingMs = delayedMs.reduce((sum, ms) => sum + ms * (1 + jitter), 0)
  const neededMs = Math.ceil(handlingMs + waitingMs + redriveWithinMs)
  if (retentionMs >= neededMs) return
  throw invalidOption(
    'inbox.retentionMs',
    retentionMs,
    `a message may come again after ${neededMs} ms (${redriveWithinMs} of redriveWithinMs, ${Math.ceil(waitingMs)} of retries.delayedMs, ` +
      `${handlingMs} of handlers), and would be applied again: let the store keep its entries for so long, or lower redriveWithinMs (0: dead letters are never redriven)`,
  )
}
