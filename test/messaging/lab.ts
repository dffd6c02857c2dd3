// Where what needs a store and a transport is tested: any lab of the store suite with any lab of the transport suite.
import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../src/core/contracts/transport.ts'
import type { StoreLab, TransportLab } from '../../src/testing/index.ts'

/** What the cases need. `Tx` is whatever the store hands out. */
export interface Lab {
  readonly clock: Clock
  /** Part of names that no other run has had: real servers keep what they were given. Default: none. */
  readonly mark?: string | undefined
  /** Of relays, milliseconds: one that starts gives up a store that takes longer than a third of it. Default 2,000. */
  readonly leaseMs?: number | undefined
  /** Another view of the same database, as another process has it. */
  store(): Store<any> | Promise<Store<any>>
  transport(): MessageTransport | Promise<MessageTransport>
  /** Writes a line, as part of the transaction. */
  note(tx: any, line: string): Promise<void>
  /** All lines that were committed, sorted. */
  lines(): Promise<readonly string[]>
  /** Lets time pass until it is so; fails after a generous while. */
  until(what: () => boolean | Promise<boolean>): Promise<void>
  /** Lets so much time pass. */
  pass(ms: number): Promise<void>
  close(): Promise<void>
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Rows here, queues there, in real time. `patienceMs`: how long to wait for what should happen. */
export async function labOf(
  rows: StoreLab | Promise<StoreLab>,
  queues: TransportLab | Promise<TransportLab>,
  { patienceMs = 60_000 }: { readonly patienceMs?: number | undefined } = {},
): Promise<Lab> {
  const [store, transport] = await Promise.all([rows, queues])
  const { effect, effects } = store
  if (effect === undefined || effects === undefined) throw new Error('a lab of a store in which users can write')
  return {
    clock: systemClock,
    mark: randomUUID().slice(0, 8),
    leaseMs: 10_000,
    store: () => store.open(),
    transport: () => transport.open(),
    note: (tx, line) => effect(tx, line),
    lines: async () => [...(await effects())].sort(),
    async until(what) {
      const end = Date.now() + patienceMs
      while (!(await what())) {
        if (Date.now() > end) throw new Error('it did not come to that')
        await wait(20)
      }
    },
    pass: wait,
    async close() {
      await transport.close()
      await store.close?.()
    },
  }
}

/** Whether a send is answered only once the message is handled: who waits for it waits for the receiver. */
export const answersWhenHandled = ({ capabilities }: MessageTransport): boolean =>
  capabilities.acknowledged === 'handled'
