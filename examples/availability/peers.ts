// The consumer service and the restaurant service: each says whether an order may have what it asks for, to whoever calls, whoever asks over messages, and (by events) to whoever keeps a copy.
import { createServerAdapter } from 'fairlead'
import type { MemoryTx } from 'fairlead/memory'
import { createResponder, serveSnapshot } from 'fairlead/messaging'
import {
  ConsumerEvents,
  ConsumerRequests,
  Consumers,
  RestaurantEvents,
  RestaurantRequests,
  Restaurants,
  type Valid,
} from './contracts.ts'
import type { Life, Start } from './machine.ts'

/** What a flow needs of the two besides their doors. */
export type Offer = 'calls' | 'requests' | 'events'

export const CONSUMERS = 200
export const RESTAURANTS = 50
/** In each of the two, somebody changes. */
const CHANGE_EVERY_MS = 60_000

export const consumerService =
  (offer: Offer): Start =>
  async (life) => {
    const handlers = handlersOf(life)
    if (offer === 'requests') {
      const answering = { 'consumer.validate': ({ data }: Asked) => handlers.validate(data) }
      const channel = ConsumerRequests
      await life.owns(createResponder({ ...(await asking(life)), channel, handlers: answering })).start()
    }
    if (offer === 'events') {
      const outbox = await life.outbox()
      await changing(life, CONSUMERS, (tx, data) =>
        outbox.publish(tx, ConsumerEvents, { type: 'consumer.changed', key: data.id, data }),
      )
    }
    return createServerAdapter(Consumers, handlers, { clock: life.seams.clock })
  }

export const restaurantService =
  (offer: Offer): Start =>
  async (life) => {
    const handlers = handlersOf(life)
    if (offer === 'requests') {
      const answering = { 'restaurant.validate': ({ data }: Asked) => handlers.validate(data) }
      const channel = RestaurantRequests
      await life.owns(createResponder({ ...(await asking(life)), channel, handlers: answering })).start()
    }
    if (offer === 'events') {
      const outbox = await life.outbox()
      await changing(life, RESTAURANTS, (tx, data) =>
        outbox.publish(tx, RestaurantEvents, { type: 'restaurant.changed', key: data.id, data }),
      )
    }
    return createServerAdapter(Restaurants, handlers, { clock: life.seams.clock })
  }

interface Asked {
  readonly data: { readonly id: string }
}

const handlersOf = ({ work, store, seams }: Life) => ({
  // Nobody is refused: a refusal is an answer, and what is counted here is whether there is one.
  async validate(_: { readonly id: string }): Promise<Valid> {
    await work()
    return { valid: true }
  },
  snapshot: serveSnapshot({
    clock: seams.clock,
    read: async ({ after, limit }) =>
      store
        .entries()
        .map(([key, version]) => ({ key, version: version as number, value: { valid: true } }))
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .filter(({ key }) => after === undefined || key > String(after))
        .slice(0, limit),
  }),
})

const asking = async (life: Life) => ({
  ...life.seams,
  transport: life.transport,
  inbox: life.store,
  outbox: await life.outbox(),
  redriveWithinMs: 0,
})

type Publish = (tx: MemoryTx, data: Valid & { readonly id: string; readonly version: number }) => Promise<unknown>

// Its database holds a version of each. At its very first start everybody is new.
async function changing({ seams, store, ended }: Life, count: number, publish: Publish): Promise<void> {
  const { clock, random } = seams
  const change = (id: string): Promise<void> =>
    store.transaction(async (tx) => {
      const version = ((tx.get(id) as number | undefined) ?? 0) + 1
      tx.set(id, version)
      await publish(tx, { id, version, valid: true })
    })
  if (store.entries().length === 0) for (let id = 0; id < count; id++) await change(String(id))
  const later = (): void => {
    clock.setTimer(
      () => {
        if (ended()) return
        void change(String(Math.floor(random() * count))).catch(() => {})
        later()
      },
      CHANGE_EVERY_MS,
      undefined,
    )
  }
  later()
}
