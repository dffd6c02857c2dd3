// Processes in memory, on a clock that stands still.
import {
  type MemoryTx,
  memoryBroker,
  memoryDatabase,
  memoryStore,
  memoryTransport,
} from '../../../src/adapters/memory/index.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import type { ProcessLab } from './order.ts'

export interface MemoryLab extends ProcessLab {
  readonly clock: FakeClock
  readonly database: ReturnType<typeof memoryDatabase>
  readonly broker: ReturnType<typeof memoryBroker>
}

export function memoryLab(): MemoryLab {
  const clock = fakeClock()
  const database = memoryDatabase({ clock })
  const broker = memoryBroker({ clock })
  const reader = memoryStore({ database })
  return {
    clock,
    database,
    broker,
    store: () => memoryStore({ database }),
    transport: () => memoryTransport({ broker }),
    async note(tx: MemoryTx, line) {
      tx.set(line, Number(tx.get(line) ?? 0) + 1)
    },
    lines: async () =>
      reader
        .entries()
        .flatMap(([line, times]) => new Array<string>(Number(times)).fill(line))
        .sort(),
    async until(what) {
      for (let turn = 0; turn < 1_500; turn++) {
        if (await what()) return
        await clock.advance(10)
      }
      throw new Error('it did not come to that')
    },
    pass: (ms) => clock.advance(ms),
    close: () => reader.close(),
  }
}
