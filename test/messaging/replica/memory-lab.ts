// Replicas in memory, on a clock that stands still.
import {
  type MemoryTx,
  memoryBroker,
  memoryDatabase,
  memoryStore,
  memoryTransport,
} from '../../../src/adapters/memory/index.ts'
import { memoryReplicaTable } from '../../../src/messaging/replica/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import type { Customer, Process, ReplicaLab, Row } from './kit.ts'

type MemoryStoreOf = ReturnType<typeof memoryStore>

export interface MemoryReplicaLab extends ReplicaLab {
  readonly clock: FakeClock
  readonly broker: ReturnType<typeof memoryBroker>
  /** With what runs before each operation of its store. */
  processWith(before: (operation: string) => Promise<void> | undefined): Process & { readonly store: MemoryStoreOf }
}

/** `stepMs`: by how much time moves between two looks at whether it is so. */
export function memoryLab(stepMs = 10): MemoryReplicaLab {
  const clock = fakeClock()
  const database = memoryDatabase({ clock })
  const broker = memoryBroker({ clock })
  const reader = memoryStore({ database })
  const processOf = (store: MemoryStoreOf): Process & { readonly store: MemoryStoreOf } => ({
    store,
    table: (name) => memoryReplicaTable<Customer, MemoryTx>(store, { table: name }),
  })
  return {
    clock,
    broker,
    mark: '',
    tellsSkipped: true,
    process: async () => processOf(memoryStore({ database })),
    processWith: (before) => processOf(memoryStore({ database, before })),
    transport: () => memoryTransport({ broker }),
    make: async () => {},
    async rows(table) {
      const generation = Number(reader.read(table) ?? 0)
      const prefix = `${table}@${generation} `
      return reader
        .entries()
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, kept]): Row => {
          const { version, value } = kept as { readonly version: bigint; readonly value?: Customer }
          return {
            id: name.slice(prefix.length),
            version: Number(version),
            name: value?.name ?? null,
            gone: value === undefined,
          }
        })
        .sort((a, b) => (a.id < b.id ? -1 : 1))
    },
    async until(what) {
      for (let turn = 0; turn < 3_000; turn++) {
        if (await what()) return
        await clock.advance(stepMs)
      }
      throw new Error('it did not come to that')
    },
    pass: (ms) => clock.advance(ms),
    close: () => reader.close(),
  }
}
