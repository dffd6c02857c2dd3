// The parts of a memory store as one process sees them: each operation is let in first, and then done at once.
import type {
  CheckpointStore,
  IdempotencyStore,
  InboxStore,
  OutboxStore,
  StateStore,
} from '../../../core/contracts/store.ts'
import type { DatabaseState } from './database.ts'
import type { MemoryTransaction, MemoryTx } from './transaction.ts'

/** What a part asks of the view that it belongs to. */
export interface View {
  readonly database: DatabaseState
  readonly wakes: Set<() => void>
  /** @throws FairleadError `SHUTDOWN`, `CONNECTION_LOST` after a crash */
  enter(operation: string): Promise<void>
  /** The same inside a transaction. @throws FairleadError `TRANSACTION_REQUIRED` as well */
  join(operation: string, tx: MemoryTx): Promise<MemoryTransaction>
}

/** Its outbox. */
export function outboxOf(view: View, archive: boolean): OutboxStore<MemoryTx> {
  const { outbox, listeners } = view.database
  return {
    append: async (tx, rows) => outbox.append(await view.join('outbox.append', tx), rows),
    async lease(relay, forMs) {
      await view.enter('outbox.lease')
      return outbox.lease(relay, forMs)
    },
    async release(leases, relay) {
      await view.enter('outbox.release')
      outbox.release(leases, relay)
    },
    async pending(leases, limit) {
      await view.enter('outbox.pending')
      return outbox.pending(leases, limit)
    },
    async settle(leases, verdicts) {
      await view.enter('outbox.settle')
      return outbox.settle(leases, verdicts, archive)
    },
    async stats() {
      await view.enter('outbox.stats')
      return outbox.stats()
    },
    async *dead(limit) {
      await view.enter('outbox.dead')
      yield* outbox.dead(limit)
    },
    async skip(ids) {
      await view.enter('outbox.skip')
      return outbox.skip(ids)
    },
    async redrive(ids) {
      await view.enter('outbox.redrive')
      return outbox.redrive(ids)
    },
    async purge({ olderThanMs, limit, dead = false }) {
      await view.enter('outbox.purge')
      return outbox.purge(olderThanMs, limit, dead)
    },
    async announce() {
      await view.enter('outbox.announce')
      for (const wake of [...listeners]) wake()
    },
    async listen(wake) {
      await view.enter('outbox.listen')
      // One of its own: the same function may be given twice.
      const own = (): void => wake()
      listeners.add(own)
      view.wakes.add(own)
      return async () => {
        listeners.delete(own)
        view.wakes.delete(own)
      }
    },
  }
}

/** Its inbox. */
export function inboxOf(view: View, retentionMs: number): InboxStore<MemoryTx> {
  const { inbox } = view.database
  return {
    retentionMs,
    claim: async (tx, consumer, messages) => inbox.claim(await view.join('inbox.claim', tx), consumer, messages),
    async started(consumer, message) {
      await view.enter('inbox.started')
      return inbox.started(consumer, message)
    },
    async finished(consumer, message) {
      await view.enter('inbox.finished')
      inbox.finished(consumer, message)
    },
    async park(consumer, key, forMs) {
      await view.enter('inbox.park')
      inbox.park(consumer, key, forMs)
    },
    async unpark(consumer, key) {
      await view.enter('inbox.unpark')
      inbox.unpark(consumer, key)
    },
    async parked(consumer, keys) {
      await view.enter('inbox.parked')
      return inbox.parked(consumer, keys)
    },
    async purge(olderThanMs, limit) {
      await view.enter('inbox.purge')
      return inbox.purge(olderThanMs, limit)
    },
  }
}

/** Its answers to named requests. */
export function idempotencyOf(view: View, retentionMs: number): IdempotencyStore<MemoryTx> {
  const { idempotency } = view.database
  return {
    retentionMs,
    reserve: async (tx, scope, key, bodyHash) =>
      idempotency.reserve(await view.join('idempotency.reserve', tx), scope, key, bodyHash),
    complete: async (tx, scope, key, response) =>
      idempotency.complete(await view.join('idempotency.complete', tx), scope, key, response),
    async purge(olderThanMs, limit) {
      await view.enter('idempotency.purge')
      return idempotency.purge(olderThanMs, limit)
    },
  }
}

/** Its states. */
export function statesOf(view: View): StateStore<MemoryTx> {
  const { states } = view.database
  return {
    load: async (tx, kind, id) => states.load(await view.join('states.load', tx), kind, id),
    find: async (tx, kind, correlation) => states.find(await view.join('states.find', tx), kind, correlation),
    save: async (tx, kind, id, expected, state, options = {}) =>
      states.save(await view.join('states.save', tx), kind, id, expected, state, options),
    async due(kind, now, limit) {
      await view.enter('states.due')
      return states.due(kind, now, limit)
    },
    async *list(kind, limit, after) {
      await view.enter('states.list')
      yield* states.list(kind, limit, after)
    },
    async purge(kind, olderThanMs, limit) {
      await view.enter('states.purge')
      return states.purge(kind, olderThanMs, limit)
    },
  }
}

/** Its checkpoints. */
export function checkpointsOf(view: View): CheckpointStore {
  const { checkpoints } = view.database
  return {
    async lease(consumer, member, lanes, forMs) {
      await view.enter('checkpoints.lease')
      return checkpoints.lease(consumer, member, lanes, forMs)
    },
    async release(consumer, leases) {
      await view.enter('checkpoints.release')
      await checkpoints.release(consumer, leases)
    },
    async load(consumer, lane) {
      await view.enter('checkpoints.load')
      return checkpoints.load(consumer, lane)
    },
    async save(consumer, lease, position) {
      await view.enter('checkpoints.save')
      return checkpoints.save(consumer, lease, position)
    },
  }
}
