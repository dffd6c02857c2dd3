// Store and queues in memory: on a clock that stands still, or as parts of other labs.
import {
  type MemoryTx,
  memoryBroker,
  memoryDatabase,
  memoryStore,
  memoryTransport,
} from '../../src/adapters/memory/index.ts'
import type { MessageTransport } from '../../src/core/contracts/transport.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import type { StoreLab, TransportLab } from '../../src/testing/index.ts'
import type { Lab } from './lab.ts'

/** With what lies below. */
export interface MemoryLab extends Lab {
  readonly clock: FakeClock
  readonly database: ReturnType<typeof memoryDatabase>
  readonly broker: ReturnType<typeof memoryBroker>
  store(): ReturnType<typeof memoryStore>
  transport(): MessageTransport
  /** Each line once, with how often it was committed: `line x1`. */
  counted(): Promise<readonly string[]>
}

const write = async (tx: MemoryTx, line: string): Promise<void> => {
  tx.set(line, Number(tx.get(line) ?? 0) + 1)
}

/** All on one clock, which moves when a test says so. */
export function memoryLab(clock: FakeClock = fakeClock()): MemoryLab {
  const database = memoryDatabase({ clock })
  const broker = memoryBroker({ clock })
  const reader = memoryStore({ database })
  return {
    clock,
    database,
    broker,
    store: () => memoryStore({ database }),
    transport: () => memoryTransport({ broker }),
    note: write,
    lines: async () => linesOf(reader),
    counted: async () =>
      reader
        .entries()
        .map(([line, times]) => `${line} x${times}`)
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

/** Rows in memory, in real time. */
export function memoryRows(): StoreLab<MemoryTx> {
  const database = memoryDatabase()
  const reader = memoryStore({ database })
  return {
    open: () => memoryStore({ database }),
    effect: write,
    effects: async () => linesOf(reader),
    close: () => reader.close(),
  }
}

/** Queues in memory, in real time. */
export function memoryQueues(): TransportLab {
  const broker = memoryBroker()
  return { open: () => memoryTransport({ broker }), close: async () => undefined }
}

function linesOf(reader: ReturnType<typeof memoryStore>): readonly string[] {
  return reader
    .entries()
    .flatMap(([line, times]) => new Array<string>(Number(times)).fill(line))
    .sort()
}
