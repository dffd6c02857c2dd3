// Options of a replica, checked once, with the defaults filled in.
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { ageOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { type World, world } from '../../policies/seams.ts'
import { isChannel, isChannelName } from '../channel.ts'
import type { HandlerContext } from '../consumer/types.ts'
import { handedOn, INNER_CONSUMER } from '../inner-consumer.ts'
import type { Channel, MessageTypes } from '../types.ts'
import type { Revision } from './revision.ts'
import type { ReplicaKey, ReplicaTable } from './table.ts'
import type { ReplicaChanges, ReplicaOptions, ReplicaStore, Snapshot } from './types.ts'

/** A handler of any type. */
export type AnyChanges = (
  message: never,
  context: HandlerContext,
) => ReplicaChanges<unknown> | Promise<ReplicaChanges<unknown>>

/** What a replica goes by. */
export interface ReplicaSettings {
  readonly name: string
  readonly store: ReplicaStore<unknown>
  readonly table: ReplicaTable<unknown>
  readonly transport: MessageTransport
  readonly channel: Channel
  readonly group: string
  readonly revision: Revision
  readonly changes: ReadonlyMap<string, AnyChanges>
  readonly snapshot: Snapshot<unknown>
  readonly keep: ((value: unknown, key: ReplicaKey) => boolean) | undefined
  readonly tombstonesMs: number
  readonly purgeEveryMs: number | false
  readonly lookEveryMs: number
  readonly probeEveryMs: number
  readonly pageTimeoutMs: number
  readonly giveUp: ((group: string) => Promise<void>) | undefined
  readonly world: World
  /** What is handed on to its consumers. */
  readonly consumer: Readonly<Record<string, unknown>>
}

const CONSUMER = [
  ...INNER_CONSUMER.filter((name) => name !== 'redriveWithinMs' && name !== 'purgeEveryMs'),
  'unknownType',
  'unhandledType',
  'expired',
] as const
const OPTIONS = [
  'name',
  'store',
  'table',
  'transport',
  'channel',
  'group',
  'revision',
  'changes',
  'snapshot',
  'keep',
  'tombstonesMs',
  'purgeEveryMs',
  'lookEveryMs',
  'probeEveryMs',
  'pageTimeoutMs',
  'giveUp',
  ...CONSUMER,
]
const DAY_MS = 86_400_000

/** @throws FairleadError `INVALID_OPTIONS` */
export function replicaSettings(options: ReplicaOptions<MessageTypes, unknown, unknown>): ReplicaSettings {
  knownOptions('replica', options ?? {}, OPTIONS)
  const { name, store, table, transport, channel, group, revision, snapshot, keep, purgeEveryMs, giveUp } =
    options ?? ({} as typeof options)
  if (!isChannelName(name)) throw invalidOption('name', name, 'give letters, digits, dots, dashes and underscores')
  if (typeof store?.states?.save !== 'function')
    throw invalidOption('store', store, 'give a store: postgresStore(...), memoryStore() or another one')
  if (typeof table?.write !== 'function' || typeof table.swap !== 'function')
    throw invalidOption('table', table, 'give sqlReplicaTable(driver, ...) or memoryReplicaTable(store, ...)')
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport')
  if (!isChannel(channel) || channel.kind !== 'topic')
    throw invalidOption('channel', channel, 'give a topic: of a queue there is only one reader, and none for a rebuild')
  if (group !== undefined && !isChannelName(group))
    throw invalidOption('group', group, 'give letters, digits, dots, dashes and underscores')
  if (revision !== undefined && !isChannelName(String(revision)))
    throw invalidOption('revision', revision, 'give a whole number, or letters, digits, dots, dashes and underscores')
  if (typeof snapshot !== 'function')
    throw invalidOption('snapshot', snapshot, 'give a function that yields pages of all entries')
  if (keep !== undefined && typeof keep !== 'function') throw invalidOption('keep', keep, 'give a function of a value')
  if (giveUp !== undefined && typeof giveUp !== 'function')
    throw invalidOption('giveUp', giveUp, 'give a function of the name of a group')
  return {
    name,
    store,
    table,
    transport,
    channel,
    group: group ?? `replica.${name}`,
    revision: revision === undefined ? undefined : String(revision),
    changes: changesOf(channel, options.changes),
    snapshot,
    keep,
    tombstonesMs: ageOption('tombstonesMs', options.tombstonesMs, 14 * DAY_MS),
    purgeEveryMs: purgeEveryMs === false ? false : durationOption('purgeEveryMs', purgeEveryMs, 600_000),
    lookEveryMs: durationOption('lookEveryMs', options.lookEveryMs, 5_000, 10),
    probeEveryMs: durationOption('probeEveryMs', options.probeEveryMs, 5_000, 10),
    pageTimeoutMs: durationOption('pageTimeoutMs', options.pageTimeoutMs, 30_000, 10),
    giveUp,
    world: world(options),
    // The versions say which is newer: nothing has to wait behind a message that failed.
    consumer: { onFailure: 'overtake', ...handedOn(options, CONSUMER) },
  }
}

function changesOf(channel: Channel, changes: unknown): ReadonlyMap<string, AnyChanges> {
  if (typeof changes !== 'object' || changes === null || Object.keys(changes).length === 0)
    throw invalidOption('changes', changes, 'say for each type of message what it changes')
  const all = new Map<string, AnyChanges>()
  for (const [type, handler] of Object.entries(changes)) {
    if (handler === undefined) continue
    if (!Object.hasOwn(channel.types, type))
      throw invalidOption(
        `changes.${type}`,
        handler,
        `${channel.name} has no such type; it has ${Object.keys(channel.types).join(', ')}`,
      )
    if (typeof handler !== 'function')
      throw invalidOption(
        `changes.${type}`,
        handler,
        'give a function that returns { key, version, value } or { key, version, gone: true }',
      )
    all.set(type, handler as AnyChanges)
  }
  return all
}
