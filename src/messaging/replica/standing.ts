// How a replica says of itself how it stands, and how it was built.
import type { Description } from '../../core/describe.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Consumer } from '../consumer/types.ts'
import type { Freshness } from './freshness.ts'
import type { ReplicaSettings } from './options.ts'
import type { ReplicaRow } from './row.ts'
import type { Staleness } from './types.ts'

/** What is known of it here. */
export interface Standing {
  readonly row: ReplicaRow | undefined
  /** The generation that this process goes by; 0: none. */
  readonly told: number
  readonly superseded: boolean
  readonly ended: boolean
  /** Of that generation. */
  readonly consumer: Consumer | undefined
  readonly freshness: Freshness
  readonly lastError: FairleadError | undefined
}

/** In numbers. */
export function stalenessOf(standing: Standing): Staleness {
  const { row, told, consumer, freshness, lastError } = standing
  const { waiting, lastEventAt, lastAppliedAt, applied, skipped } = freshness
  return {
    state: stateOf(standing),
    generation: row?.live ?? 0,
    waiting,
    lastEventAt,
    lastAppliedAt,
    behindMs: told === 0 ? Infinity : freshness.age(),
    applied,
    skipped,
    loaded: row?.next?.entries,
    lastError: lastError ?? consumer?.health().lastError,
  }
}

function stateOf({ row, told, superseded, ended, consumer }: Standing): Staleness['state'] {
  if (row === undefined) return 'empty'
  if (told === 0) return ended ? 'stopped' : superseded ? 'superseded' : 'loading'
  const { state } = consumer?.health() ?? { state: 'closed' }
  if (state !== 'running' && state !== 'throttled') return 'stopped'
  return row.next === undefined ? 'live' : 'rebuilding'
}

/** For `describe`. */
export function descriptionOf(settings: ReplicaSettings, row: ReplicaRow | undefined): Description {
  const { name, transport, channel, group, revision, table, changes } = settings
  const { tombstonesMs, lookEveryMs, probeEveryMs, keep } = settings
  return {
    what: 'replica',
    name,
    layers: [],
    transport: transport.name,
    channel: { kind: channel.kind, name: channel.name },
    table: table.name,
    handles: [...changes.keys()],
    generation: row?.live ?? 0,
    options: {
      group,
      ...(revision === undefined ? {} : { revision }),
      tombstonesMs,
      lookEveryMs,
      probeEveryMs,
      keeps: keep === undefined ? 'all' : 'a part',
    },
  }
}
