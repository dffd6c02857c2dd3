// Consume, process, produce inside Kafka: a transaction holds what a handler published and the offset of what it consumed. It takes the place of an inbox.
import type { Clock } from '../../../core/clock.ts'
import type { InboxStore, MessageIdentity, OutboxRow, OutboxStore } from '../../../core/contracts/store.ts'
import { countOption, invalidOption, knownOptions } from '../../../core/options.ts'
import { tellEach } from '../../../core/settle.ts'
import { createError } from '../../../errors/index.ts'
import type { InboxPlace } from '../../../messaging/inbox/types.ts'
import { createOutbox, type OutboxPlace, type OutboxReceipt } from '../../../messaging/outbox/index.ts'
import type { Channel, MessageTypes, Publishable } from '../../../messaging/types.ts'
import { KafkaDelivery } from '../delivery.ts'
import type { NewRecord } from '../driver.ts'
import type { KafkaTransport } from '../transport-types.ts'

/** By which a transport is asked. */
export const TRANSACTIONS: unique symbol = Symbol('fairlead.kafka.transactions')

/** What the transactions ask of their transport. */
export interface TransactionalTransport {
  readonly name: string
  readonly capabilities: { readonly maxPayloadBytes: number }
  /** From now on its groups commit by transactions. @throws FairleadError `PROGRAMMING_ERROR` where some do without already; `CAPABILITY_MISSING` */
  [TRANSACTIONS](plan: TransactionPlan): TransactionDesk
}

/** What a transport does its transactions by. */
export interface TransactionPlan {
  readonly timeoutMs: number
  readonly nameOf: (group: string, topic: string, partition: number) => string
}

/** The part of a transport that writes transactions. */
export interface TransactionDesk {
  readonly clock: Clock
  /** @throws FairleadError `UNROUTABLE`, `PAYLOAD_TOO_LARGE`, `CAPABILITY_MISSING` */
  recordsOf(rows: readonly OutboxRow[]): Promise<readonly NewRecord[]>
  /** Whether it was handed out by this transport, to a group. */
  owns(delivery: KafkaDelivery): boolean
  commit(deliveries: readonly KafkaDelivery[], records: readonly NewRecord[]): Promise<void>
}

/** Options of `kafkaTransactions`. */
export interface KafkaTransactionsOptions {
  /** Who publishes: a URI reference, such as `/shop/billing`. Default `/outbox`. */
  readonly source?: string | undefined
  /** After so long the broker undoes a transaction whose process is gone; until then readers of what it wrote wait. It is open only while it is written. Default 15,000. */
  readonly timeoutMs?: number | undefined
  /**
   * The name (`transactional.id`) by which a partition is written for: one for each partition of each consumer group, and the same in all processes, for it is what fences those
   * that believe to have the partition still. Default `<group>.<topic>.<partition>`.
   */
  readonly nameOf?: ((group: string, topic: string, partition: number) => string) | undefined
}

/** A transaction of one call of a handler. What is published with it is written when the handler is done. */
export interface KafkaTransaction {
  /** Nothing can be published with it any more. */
  readonly over: boolean
}

/** The `inbox` of a consumer whose effects are messages in Kafka. */
export interface KafkaTransactions extends InboxPlace<KafkaTransaction> {
  /**
   * Publishes with the transaction: the messages are written, and can be read, if and when the offset of what was consumed is committed. In the order of the calls.
   * @throws FairleadError as a rejection: `TRANSACTION_REQUIRED` once it is over; `INVALID_INPUT`, `PAYLOAD_TOO_LARGE`, `INVALID_OPTIONS`. A channel that is not there
   * fails the transaction: `UNROUTABLE`
   */
  publish<Types extends MessageTypes>(
    tx: KafkaTransaction,
    channel: Channel<Types>,
    message: Publishable<NoInfer<Types>>,
  ): Promise<OutboxReceipt>
  publish<Types extends MessageTypes>(
    tx: KafkaTransaction,
    channel: Channel<Types>,
    messages: readonly Publishable<NoInfer<Types>>[],
  ): Promise<readonly OutboxReceipt[]>
}

type Hook = (tx: KafkaTransaction) => Promise<void>

class Transaction implements KafkaTransaction {
  readonly deliveries: KafkaDelivery[] = []
  readonly rows: OutboxRow[] = []
  readonly hooks: Hook[] = []
  last: Hook[] = []
  over = false
}

const OPTIONS = ['source', 'timeoutMs', 'nameOf'] as const

class Transactions implements KafkaTransactions {
  readonly handlesEnd = true
  readonly inbox: InboxStore<KafkaTransaction>
  readonly publish: KafkaTransactions['publish']
  private readonly desk: TransactionDesk
  private readonly listeners = new Set<() => void>()
  private committed: KafkaTransaction | undefined

  constructor(transport: KafkaTransport, desk: TransactionDesk, source: string | undefined) {
    this.desk = desk
    this.inbox = {
      // The place of the group in the log remembers what was handled.
      retentionMs: Number.MAX_SAFE_INTEGER,
      claim: async (tx, _, messages) => this.claim(tx as Transaction, messages),
      started: async () => 0,
      finished: async () => {},
      park: async () => {},
      unpark: async () => {},
      parked: async () => [],
      purge: async () => 0,
    }
    const place: OutboxPlace<KafkaTransaction> = {
      name: transport.name,
      outbox: {
        append: async (tx: Transaction, rows: readonly OutboxRow[]) => void tx.rows.push(...rows),
      } as Partial<OutboxStore<KafkaTransaction>> as OutboxStore<KafkaTransaction>,
      transaction: (work) => this.transaction(work),
      isTransaction: (candidate) => this.isTransaction(candidate),
      beforeCommit: (tx, hook, when) => this.beforeCommit(tx, hook, when),
      onCommitted: (listener) => this.onCommitted(listener),
    }
    const outbox = createOutbox(place, {
      source,
      maxPayloadBytes: transport.capabilities.maxPayloadBytes,
      clock: desk.clock,
    })
    this.publish = outbox.publish.bind(outbox) as KafkaTransactions['publish']
  }

  async transaction<T>(work: (tx: KafkaTransaction) => Promise<T>): Promise<T> {
    const tx = new Transaction()
    try {
      const result = await work(tx)
      const next = (): Hook | undefined => tx.hooks.shift() ?? tx.last.shift()
      for (let hook = next(); hook !== undefined; hook = next()) await hook(tx)
      tx.over = true
      await this.commit(tx)
      return result
    } finally {
      tx.over = true
    }
  }

  isTransaction(candidate: unknown): candidate is KafkaTransaction {
    return candidate instanceof Transaction && !candidate.over
  }

  beforeCommit(tx: KafkaTransaction, hook: Hook, when?: 'last' | undefined): boolean {
    if (!(tx instanceof Transaction)) return false
    if (tx.over)
      throw createError({
        code: 'TRANSACTION_REQUIRED',
        message: 'the transaction is over: publish before the handler ends',
      })
    if (when === 'last') tx.last.push(hook)
    else tx.hooks.push(hook)
    return true
  }

  onCommitted(listener: (tx: KafkaTransaction) => void): () => void {
    const own = (): void => listener(this.committed as KafkaTransaction)
    this.listeners.add(own)
    return () => void this.listeners.delete(own)
  }

  private async commit(tx: Transaction): Promise<void> {
    const { deliveries, rows } = tx
    if (deliveries.length === 0) {
      if (rows.length === 0) return
      throw createError({
        code: 'PROGRAMMING_ERROR',
        message: 'a transaction of Kafka begins with what is consumed: publish by createPublisher outside of handlers',
      })
    }
    await this.desk.commit(deliveries, await this.desk.recordsOf(rows))
    this.committed = tx
    tellEach(this.listeners)
  }

  // A partition is written for by one name, so a transaction cannot have more than one: those of others are handed to the handler in another call.
  private claim(tx: Transaction, messages: readonly MessageIdentity[]): ('first' | 'busy')[] {
    return messages.map(({ delivery }) => {
      if (!(delivery instanceof KafkaDelivery) || !this.desk.owns(delivery))
        throw createError({
          code: 'PROGRAMMING_ERROR',
          message:
            'what is consumed did not come by the transport of these transactions, or not to a group: give both the same transport',
        })
      const [first] = tx.deliveries
      if (first !== undefined && first.entry.lane !== delivery.entry.lane) return 'busy'
      tx.deliveries.push(delivery)
      return 'first'
    })
  }
}

/**
 * Makes the groups of a transport commit by transactions, and gives their consumers the `inbox` by which handlers take part: what a handler publishes with `tx` is written
 * together with the offset of what it consumed, both or neither. Readers see it once it is committed, if they read committed only (fairlead's drivers do; others:
 * `isolation.level=read_committed`).
 *
 * It covers what is read from Kafka and written to the same cluster. Any other effect of a handler happens once more when the handler is called again, and a message that was sent
 * twice is handled twice: nothing is remembered by id. Make it before anything is received by the transport.
 * @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING` for a driver without transactions, `PROGRAMMING_ERROR` where the transport has receivers already
 * @example
 * const transactions = kafkaTransactions(transport, { source: '/billing' })
 * const billing = createConsumer({ transport, channel: Orders, group: 'billing', inbox: transactions, handlers: {
 *   'order.placed': async ({ data }, { tx }) => { await transactions.publish(tx, Invoices, { type: 'invoice.made', key: data.orderId, data }) },
 * } })
 */
export function kafkaTransactions(
  transport: KafkaTransport,
  options: KafkaTransactionsOptions = {},
): KafkaTransactions {
  knownOptions('kafkaTransactions', options, OPTIONS)
  // What only the two of them know of each other is no part of its type.
  const inner = transport as KafkaTransport & Partial<TransactionalTransport>
  if (typeof inner?.[TRANSACTIONS] !== 'function')
    throw invalidOption('transport', transport, 'give what kafkaTransport(...) made')
  const { nameOf = (group, topic, partition) => `${group}.${topic}.${partition}` } = options
  if (typeof nameOf !== 'function') throw invalidOption('nameOf', nameOf, 'give a function')
  const desk = inner[TRANSACTIONS]({ nameOf, timeoutMs: countOption('timeoutMs', options.timeoutMs, 15_000) })
  return new Transactions(transport, desk, options.source)
}
