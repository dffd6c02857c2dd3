// A consumer with an inbox over a played broker and a store in memory, on one fake clock.
import { type MemoryStore, type MemoryTx, memoryStore } from '../../../src/adapters/memory/index.ts'
import type { TransportCapabilities } from '../../../src/core/contracts/transport.ts'
import type { InboxConsumerOptions } from '../../../src/messaging/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { type Bench, bench, type Types } from '../consumer/kit.ts'

export interface InboxBench extends Bench {
  readonly store: MemoryStore
  /** What the database counts under this key. */
  applied(key: string): number
  /** How often the store was asked for this. */
  asked(operation: string): number
}

type Options = Omit<Partial<InboxConsumerOptions<Types, MemoryTx>>, 'handlers' | 'batch' | 'inbox'> & {
  readonly handlers?: InboxConsumerOptions<Types, MemoryTx>['handlers']
  readonly batch?: InboxConsumerOptions<Types, MemoryTx>['batch']
  /** Runs before each operation of the store. */
  readonly before?: (operation: string) => Promise<void> | undefined
  readonly store?: MemoryStore
}

/** Counts one up in the transaction. */
export function count(tx: MemoryTx, key: string): void {
  tx.set(key, Number(tx.get(key) ?? 0) + 1)
}

export async function inboxBench(
  { before, store: given, ...options }: Options = {},
  change: Partial<TransportCapabilities> = {},
): Promise<InboxBench> {
  const clock = options.clock ?? fakeClock()
  const operations: string[] = []
  const store =
    given ??
    memoryStore({
      clock,
      before: (operation) => {
        operations.push(operation)
        return before?.(operation)
      },
    })
  const made = await bench({ ...options, clock, inbox: store } as never, change)
  return {
    ...made,
    store,
    applied: (key) => Number(store.read(key) ?? 0),
    asked: (operation) => operations.filter((each) => each === operation).length,
  }
}
