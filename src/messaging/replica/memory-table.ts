// The table of a replica in a memory store: for tests and simulations. A swap moves a pointer.
import { invalidOption, knownOptions } from '../../core/options.ts'
import type { FoundEntry, ReplicaEntry, ReplicaKey, ReplicaTable } from './table.ts'

/** A transaction that keeps values by name; `memoryStore` hands out such. */
export interface NamedValues {
  get(key: string): unknown
  set(key: string, value: unknown): void
  delete(key: string): void
}

/** What it needs of a store: `memoryStore()` is one. */
export interface NamedValuesStore<Tx extends NamedValues> {
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  read(key: string): unknown
  entries(): readonly (readonly [key: string, value: unknown])[]
}

/** Options of a table in memory. */
export interface MemoryReplicaTableOptions {
  /** What the names of its values begin with. */
  readonly table: string
}

/** A table in memory. */
export interface MemoryReplicaTable<Tx, Value> extends ReplicaTable<Tx, Value> {
  /** What is committed, without tombstones. */
  entries(): readonly { readonly key: ReplicaKey; readonly version: bigint; readonly value: Value }[]
}

interface Kept<Value> extends FoundEntry<Value> {
  readonly key: ReplicaKey
  readonly goneAt?: number | undefined
}

/**
 * A table in a memory store. An entry is the value of the name `<table>@<generation> <key>`; `<table>` names the generation that is read, 0 where there is none.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example const table = memoryReplicaTable<Customer>(store, { table: 'customer_copy' })
 */
export function memoryReplicaTable<Value, Tx extends NamedValues = NamedValues>(
  store: NamedValuesStore<Tx>,
  options: MemoryReplicaTableOptions,
): MemoryReplicaTable<Tx, Value> {
  knownOptions('memoryReplicaTable', options, ['table'])
  const { table } = options
  if (typeof store?.entries !== 'function') throw invalidOption('store', store, 'give memoryStore()')
  if (typeof table !== 'string' || table === '') throw invalidOption('table', table, 'give a name')
  const generationOf = (pointer: unknown): number => (typeof pointer === 'number' ? pointer : 0)
  const prefixOf = (generation: number): string => `${table}@${generation} `
  const committed = (generation: number): readonly (readonly [string, Kept<Value>])[] =>
    store
      .entries()
      .filter(([name]) => name.startsWith(prefixOf(generation)))
      .map(([name, value]) => [name, value as Kept<Value>] as const)
  const live = (): number => generationOf(store.read(table))
  const found = (kept: unknown): FoundEntry<Value> | undefined => {
    const entry = kept as Kept<Value> | undefined
    return entry === undefined ? undefined : { version: entry.version, value: entry.value }
  }
  const write = (tx: Tx, prefix: string, { key, version, value }: ReplicaEntry<Value>, at: number): boolean => {
    const name = prefix + String(key)
    const before = tx.get(name) as Kept<Value> | undefined
    if (before !== undefined && before.version >= version) return false
    tx.set(name, value === undefined ? { key, version, goneAt: at } : { key, version, value })
    return true
  }

  // Entries that were written to an older generation while it was taken away.
  const sweep = async (generation: number): Promise<void> => {
    const old = store.entries().filter(([name]) => {
      const of = name.startsWith(`${table}@`) ? /^(\d+) /.exec(name.slice(table.length + 1)) : null
      return of !== null && Number(of[1]) < generation
    })
    if (old.length > 0)
      await store.transaction(async (tx) => {
        for (const [name] of old) tx.delete(name)
      })
  }

  return {
    name: table,
    alone: 0,
    async check() {},
    isEmpty: async () => committed(live()).length === 0,
    async write(tx, { generation, beside }, entries, at) {
      const own = tx as Tx
      // Read in the transaction: a swap meanwhile undoes it.
      const prefix = prefixOf(beside ? generation : generationOf(own.get(table)))
      let newer = 0
      for (const entry of entries) if (write(own, prefix, entry, at)) newer++
      return newer
    },
    async read(tx, key) {
      const of = tx === undefined ? store : { read: (name: string) => tx.get(name) }
      return found(of.read(prefixOf(generationOf(of.read(table))) + String(key)))
    },
    beside: async (generation) => committed(generation).length === 0,
    isBeside: async (generation) => generation > live(),
    async discard(generation) {
      const left = committed(generation)
      if (left.length === 0) return
      await store.transaction(async (tx) => {
        if (generationOf(tx.get(table)) < generation) for (const [name] of left) tx.delete(name)
      })
    },
    async carry(generation) {
      const gone = committed(live()).filter(([, { value }]) => value === undefined)
      await store.transaction(async (tx) => {
        for (const [, { key, version, goneAt = 0 }] of gone)
          write(tx, prefixOf(generation), { key, version, value: undefined }, goneAt)
      })
    },
    async swap(generation) {
      if (live() >= generation) return
      await store.transaction(async (tx) => {
        // Generations only grow: a swap that comes late must not bring an old one back.
        const before = generationOf(tx.get(table))
        if (before >= generation) return
        // Each of them is read here: what somebody writes meanwhile undoes it, and what he has written since is looked for below.
        for (const [name] of committed(before)) if (tx.get(name) !== undefined) tx.delete(name)
        tx.set(table, generation)
      })
      await sweep(generation)
    },
    async purge(before, limit) {
      const old = committed(live())
        .filter(([, { goneAt }]) => goneAt !== undefined && goneAt < before)
        .slice(0, limit)
      if (old.length === 0) return 0
      await store.transaction(async (tx) => {
        for (const [name, { version }] of old)
          if ((tx.get(name) as Kept<Value> | undefined)?.version === version) tx.delete(name)
      })
      return old.length
    },
    entries: () =>
      committed(live()).flatMap(([, { key, version, value }]) =>
        value === undefined ? [] : [{ key, version, value }],
      ),
  }
}
