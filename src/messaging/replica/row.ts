// The row of a replica: where it is, so that any process of the service goes on from there. It is changed by compare-and-set only.
import { againOnConflict } from '../../core/conflicts.ts'
import { createError } from '../../errors/classes.ts'
import type { ReplicaSettings } from './options.ts'
import type { Revision } from './revision.ts'
import type { SnapshotPosition } from './types.ts'

/** A load under way: the first one, or a rebuild. */
export interface LoadRow {
  readonly generation: number
  readonly group: string
  /** Of the code that fills it: no other one may. */
  readonly revision?: Revision
  /** The first one fills the table itself where that is empty. */
  readonly beside: boolean
  /** `catching-up`: the snapshot is in, what came meanwhile is not yet. `swapping`: the tables may be changing places just now. */
  readonly phase: 'loading' | 'catching-up' | 'swapping'
  /** The group is there, and every entry of the snapshot is or will be read after that. Nobody may make it but who loads. */
  readonly grouped: boolean
  readonly position?: SnapshotPosition | undefined
  /** Which process loads it, and until when nobody may take that over: milliseconds since 1970. */
  readonly loader: string
  readonly until: number
  /** From where the snapshot goes on. */
  readonly cursor?: string | undefined
  readonly entries: number
  /** Milliseconds since 1970. */
  readonly beganAt: number
  /** When the snapshot was in, milliseconds since 1970. */
  readonly filledAt?: number | undefined
}

/** A group that nobody has to listen under any more. */
export interface GroupOver {
  readonly group: string
  /** Since when, milliseconds since 1970: others find out a little later. */
  readonly at: number
}

/** What is kept of a replica. */
export interface ReplicaRow {
  readonly v: 1
  /** Generation of the table that is read; 0: none is complete yet. */
  readonly live: number
  readonly group: string
  /** Of the code that has filled it. */
  readonly revision?: Revision
  /** What was published up to then was in it when it was loaded: milliseconds since 1970. */
  readonly asOf: number
  readonly next?: LoadRow | undefined
  readonly over: readonly GroupOver[]
}

const ID = 'copy'
const PATIENCE_MS = 30_000

/** The row in the store. */
export class RowKeeper {
  /** As it was when it was last seen. */
  latest: ReplicaRow | undefined
  readonly #settings: ReplicaSettings
  readonly #kind: string
  #version: number

  constructor(settings: ReplicaSettings) {
    this.latest = undefined
    this.#settings = settings
    this.#kind = `replica.${settings.name}`
    this.#version = 0
  }

  async load(): Promise<ReplicaRow | undefined> {
    const { store } = this.#settings
    const found = await store.transaction((tx) => store.states.load(tx, this.#kind, ID))
    return this.#seen(found)
  }

  /** As it is in a transaction. */
  async loadIn(tx: unknown): Promise<ReplicaRow | undefined> {
    return this.#seen(await this.#settings.store.states.load(tx, this.#kind, ID))
  }

  /**
   * Changes it, and does `work` in the same transaction. `make` answers undefined to leave all as it is; it may be asked again, with what somebody else has made of it.
   * Returns the new row, or undefined where nothing was changed.
   */
  async change(
    make: (row: ReplicaRow | undefined) => ReplicaRow | undefined,
    work?: (tx: unknown) => Promise<void>,
  ): Promise<ReplicaRow | undefined> {
    const { store, world } = this.#settings
    const { clock, random } = world
    return againOnConflict(
      async () => {
        let made: ReplicaRow | undefined
        let version = 0
        await store.transaction(async (tx) => {
          const found = await store.states.load(tx, this.#kind, ID)
          version = found?.version ?? 0
          made = make(readRow(this.#settings.name, found?.state))
          if (made === undefined) return
          await work?.(tx)
          if (!(await store.states.save(tx, this.#kind, ID, version, made)))
            throw createError({ code: 'TRANSACTION_CONFLICT', message: 'another process has changed the replica' })
        })
        return made === undefined ? undefined : this.#seen({ version: version + 1, state: made })
      },
      {
        clock,
        random,
        own: { service: 'replica', operation: this.#settings.name },
        endsAt: clock.now() + PATIENCE_MS,
      },
    )
  }

  // A read that was slow must not hide what was seen since.
  #seen(found: { readonly version: number; readonly state: unknown } | undefined): ReplicaRow | undefined {
    if (found !== undefined && found.version >= this.#version) {
      this.#version = found.version
      this.latest = readRow(this.#settings.name, found.state)
    }
    return this.latest
  }
}

/** A load that nobody has begun yet. */
export function loadRow(
  { group, revision }: Pick<ReplicaSettings, 'group' | 'revision'>,
  generation: number,
  beside: boolean,
  now: number,
): LoadRow {
  return {
    generation,
    group: generation === 1 ? group : `${group}.g${generation}`,
    ...(revision === undefined ? {} : { revision }),
    beside,
    phase: 'loading',
    grouped: false,
    loader: '',
    until: 0,
    entries: 0,
    beganAt: now,
  }
}

function readRow(name: string, state: unknown): ReplicaRow | undefined {
  if (state === undefined) return undefined
  const row = state as Partial<ReplicaRow> | null
  if (row?.v !== 1 || typeof row.live !== 'number' || !Array.isArray(row.over))
    throw createError({
      code: 'INCOMPATIBLE',
      message: `the replica ${name} was written by a later version of fairlead, or by something else`,
    })
  const over = (row.over as readonly (string | GroupOver)[]).map((each) =>
    typeof each === 'string' ? { group: each, at: 0 } : each,
  )
  return { ...(row as ReplicaRow), over }
}
