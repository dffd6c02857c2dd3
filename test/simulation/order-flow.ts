// The scenario: a shop publishes orders by its outbox, two relays bring them to the broker, two warehouses apply them with their inbox and publish what they shipped
// by their own outbox, and mails follow. Relay, consumer, outbox and inbox are those that ship; only store, transport and clock are others.
import { type MemoryStore, memoryTransport } from 'fairlead/memory'
import { createConsumer, createOutbox, createRelay, type Outbox, topic } from 'fairlead/messaging'
import { checkHistory, type HistoryEvent } from 'fairlead/testing'
import { z } from 'zod'
import { BrokerState } from '../../src/adapters/memory/broker.ts'
import { DatabaseState } from '../../src/adapters/memory/store/database.ts'
import type { MemoryTx } from '../../src/adapters/memory/store/transaction.ts'
import type { MessageTransport } from '../../src/core/contracts/transport.ts'
import type { Life } from '../../src/testing/crash-test/life.ts'
import { storeOf } from '../../src/testing/crash-test/memory-stage.ts'
import type { Finding, Running, Scenario } from '../../src/testing/crash-test/run.ts'
import { transportOf } from '../../src/testing/crash-test/transport-door.ts'
import type { World } from '../../src/testing/crash-test/world.ts'
import { Fences } from './fences.ts'

/** What a relay, or a consumer, is broken by. Each is made once for a run: what it remembers is in the database. */
export interface Breakage {
  readonly store?: ((store: MemoryStore, life: Life) => MemoryStore) | undefined
  readonly transport?: ((transport: MessageTransport, life: Life) => MessageTransport) | undefined
}

const Orders = topic('orders', { placed: z.object({ key: z.string() }) })
const Shipments = topic('shipments', { shipped: z.object({ key: z.string() }) })
const KEYS = ['a', 'b', 'c']
const WRITERS = 3
const BROKER_LEASE_MS = 1_000
const RELAY_LEASE_MS = 2_000

/** Whole transactions of the shop. */
const SIZE = 10

/** The scenario, as it should be or broken. */
export function orderFlow(name: string = 'order flow', breakage: () => Breakage = () => ({})): Scenario {
  return { name, size: SIZE, set: (world) => new OrderFlow(world, breakage()) }
}

class OrderFlow implements Running {
  readonly #world: World
  readonly #breakage: Breakage
  readonly #broker: BrokerState
  readonly #shop: DatabaseState
  readonly #stock: DatabaseState
  readonly #mail: DatabaseState
  readonly #fences = new Fences()
  readonly #busy = new Set<string>()
  #jobs = 0

  constructor(world: World, breakage: Breakage) {
    const { clock } = world
    this.#world = world
    this.#breakage = breakage
    this.#broker = new BrokerState({ clock })
    this.#shop = new DatabaseState({ clock })
    this.#stock = new DatabaseState({ clock })
    this.#mail = new DatabaseState({ clock })
    void memoryTransport({ broker: this.#broker }).prepare(
      [
        { kind: 'topic', name: 'orders', group: 'warehouse' },
        { kind: 'topic', name: 'shipments', group: 'mail' },
      ],
      'create',
    )
    world.process('shop', (life) => this.#sell(life))
    for (const name of ['relay-1', 'relay-2'])
      world.process(name, (life) => this.#relay(life, this.#store(life, 'shop', this.#shop, true)))
    for (const name of ['warehouse-1', 'warehouse-2']) world.process(name, (life) => this.#ship(life))
    world.process('mail', (life) => this.#send(life))
  }

  done(): boolean {
    if (this.#jobs < this.#world.schedule.size || this.#busy.size > 0) return false
    const sent = rowsOf(this.#shop, 'sent/').length
    return [this.#stock, this.#mail].every((database) => idsOf(rowsOf(database, 'applied/')).size === sent)
  }

  judge(): readonly Finding[] {
    const orders = this.#history(this.#shop, this.#stock, 'warehouse')
    const shipments = this.#history(this.#stock, this.#mail, 'mail')
    const { violations } = checkHistory([...orders, ...shipments], {
      consumers: ['warehouse', 'mail'],
      applies: (consumer, { key }) => key.startsWith(consumer),
    })
    return [...violations, ...this.#states(), ...this.#fences.findings]
  }

  #store(life: Life, name: string, database: DatabaseState, relaying: boolean): MemoryStore {
    return storeOf(life, name, database, (store) => {
      const changed = this.#breakage.store?.(store, life) ?? store
      return relaying ? this.#fences.watch(name, changed) : changed
    })
  }

  #transport(life: Life): MessageTransport {
    return transportOf(life, 'broker', this.#broker, BROKER_LEASE_MS, this.#breakage.transport)
  }

  #outbox(life: Life, store: MemoryStore): Outbox<MemoryTx> {
    return createOutbox(store, { source: '/sim', newId: () => life.id(), clock: life.clock, random: life.random })
  }

  #sell(life: Life): void {
    const store = this.#store(life, 'shop', this.#shop, false)
    const outbox = this.#outbox(life, store)
    for (let writer = 0; writer < WRITERS; writer++) {
      const random = this.#world.chance(life.name, 'writer', writer)
      const write = async (): Promise<void> => {
        while (this.#jobs < this.#world.schedule.size) {
          const job = `job-${++this.#jobs}`
          this.#busy.add(job)
          life.onDeath(() => this.#busy.delete(job))
          await life.sleep(random() * 60)
          try {
            if (random() < 0.7) await store.transaction((tx) => this.#order(life, outbox, tx, random))
            else {
              const { tx, commit, rollback } = store.begin()
              await this.#order(life, outbox, tx, random).then(commit, rollback)
            }
          } catch {
            // Rolled back, or of unknown outcome: the database knows.
          }
          this.#busy.delete(job)
        }
      }
      void write()
    }
  }

  async #order(life: Life, outbox: Outbox<MemoryTx>, tx: MemoryTx, random: () => number): Promise<void> {
    for (let messages = random() < 0.5 ? 1 : 2; messages > 0; messages--) {
      const key = KEYS[Math.floor(random() * KEYS.length)] as string
      const { id } = await outbox.publish(tx, Orders, { type: 'placed', key, data: { key } })
      tx.set(`sent/${id}`, { id, key })
      // A slow transaction.
      if (random() < 0.3) await life.sleep(random() * 100)
    }
    if (random() < 0.1) throw new Error('the customer went away')
  }

  async #relay(life: Life, store: MemoryStore, name: string = life.name): Promise<void> {
    const relay = createRelay({
      outbox: this.#outbox(life, store),
      transport: this.#transport(life),
      name,
      batch: 3,
      concurrency: 2,
      leaseMs: RELAY_LEASE_MS,
      sendTimeoutMs: 800,
      poll: { minMs: 20, maxMs: 1_000 },
      backoff: { minMs: 20, maxMs: 300 },
      clock: life.clock,
      random: life.random,
    })
    await relay.start()
  }

  async #ship(life: Life): Promise<void> {
    const store = this.#store(life, 'stock', this.#stock, true)
    const outbox = this.#outbox(life, store)
    const consumer = createConsumer({
      ...this.#consuming(life),
      channel: Orders,
      group: 'warehouse',
      inbox: store,
      handlers: {
        placed: async ({ id, key = '' }, { tx }) => {
          apply(tx, life, id, key)
          const shipped = await outbox.publish(tx, Shipments, { type: 'shipped', key, causationId: id, data: { key } })
          tx.set(`sent/${shipped.id}`, { id: shipped.id, key, cause: id })
        },
      },
    })
    await consumer.start()
    await this.#relay(life, store)
  }

  async #send(life: Life): Promise<void> {
    const consumer = createConsumer({
      ...this.#consuming(life),
      channel: Shipments,
      group: 'mail',
      inbox: this.#store(life, 'mail', this.#mail, false),
      handlers: { shipped: ({ id, key = '' }, { tx }) => apply(tx, life, id, key) },
    })
    await consumer.start()
  }

  #consuming(life: Life) {
    return {
      transport: this.#transport(life),
      concurrency: 3,
      handlerTimeoutMs: 3_000,
      // Faults are few: nothing is given up.
      maxDeliveries: 1_000,
      retries: { immediate: 1, delayedMs: new Array<number>(20).fill(200) },
      redriveWithinMs: 0,
      clock: life.clock,
      random: life.random,
    } as const
  }

  #history(from: DatabaseState, to: DatabaseState, consumer: string): readonly HistoryEvent[] {
    const places = new Map<string, number>()
    const sent = rowsOf(from, 'sent/').map(({ id, key, cause }, n): HistoryEvent => {
      places.set(id, n)
      return {
        event: 'sent',
        key: `${consumer} ${key}`,
        n,
        id,
        ...(cause === undefined ? {} : { causes: [cause], by: 'warehouse' }),
      }
    })
    const applied = rowsOf(to, 'applied/').map(
      ({ id, key }): HistoryEvent => ({
        event: 'applied',
        consumer,
        key: `${consumer} ${key}`,
        n: places.get(id) ?? -1,
        id,
      }),
    )
    return [...sent, ...applied]
  }

  // What the handlers counted, by reading and writing.
  #states(): readonly Finding[] {
    return [this.#stock, this.#mail].flatMap((database) =>
      KEYS.flatMap((key) => {
        const applied = rowsOf(database, 'applied/').filter((row) => row.key === key).length
        const counted = Number(database.read(`count/${key}`) ?? 0)
        return counted === applied
          ? []
          : [{ rule: 'state', message: `${applied} effects of key ${key}, and it counted ${counted}` }]
      }),
    )
  }
}

interface Row {
  readonly id: string
  readonly key: string
  readonly cause?: string
}

function apply(tx: MemoryTx, life: Life, id: string, key: string): void {
  tx.set(`applied/${life.id()}`, { id, key })
  tx.set(`count/${key}`, Number(tx.get(`count/${key}`) ?? 0) + 1)
}

// In order of commit: entries come in the order in which they were first written.
function rowsOf(database: DatabaseState, prefix: string): readonly Row[] {
  return database.entries().flatMap(([name, value]) => (name.startsWith(prefix) ? [value as Row] : []))
}

function idsOf(rows: readonly Row[]): ReadonlySet<string> {
  return new Set(rows.map(({ id }) => id))
}
