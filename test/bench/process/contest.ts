// What every candidate does: an order that is placed, and commands one after another, each answered by the same consumer before the next is sent.
import type { MessageTransport } from 'fairlead/core'
import { type Channel, type Consumer, createConsumer, createPublisher, type Publisher, queue } from 'fairlead/messaging'
import { type Passing, passing } from '../messaging/passing.ts'

/** What is said of an order. */
export interface Said {
  readonly orderId: string
  readonly text: string
}

/** Commands of one order. */
export const COMMANDS = 3

/** Messages of an order that change its state: that it was placed, and each answer. Each of them is a step. */
export const STEPS = COMMANDS + 1

/** Orders under way at once. */
export const IN_FLIGHT = 256

/** Handlers at once, of each consumer; and connections to the database. */
export const CONCURRENCY = 32

/** How long an order may take until its timeout comes. */
export const PATIENCE_MS = 86_400_000

type Passes<Name extends string> = Readonly<Record<Name, Passing<Said>>>

/** What begins one. */
export const Orders: Channel<Passes<'placed'>> = queue('bench-orders', { placed: passing<Said>() })

/** What is asked of others. */
export const Commands: Channel<Passes<'do-1' | 'do-2' | 'do-3'>> = queue('bench-commands', {
  'do-1': passing<Said>(),
  'do-2': passing<Said>(),
  'do-3': passing<Said>(),
})

/** What they say. */
export const Answers: Channel<Passes<'done-1' | 'done-2' | 'done-3'>> = queue('bench-answers', {
  'done-1': passing<Said>(),
  'done-2': passing<Said>(),
  'done-3': passing<Said>(),
})

/** One way to run orders. */
export interface Contest {
  /** Begins them. */
  start(orderIds: readonly string[]): Promise<void>
  /** How many have come to their end, durably, since the worker started. */
  done(): number
  /** Resolves when nothing of them is under way. */
  settle(): Promise<void>
}

/** What is sent along, so that messages are about as large as others are. */
export const TEXT: string = 'x'.repeat(200)

/** The others: they answer what they are asked, at once. The same for every candidate. */
export async function startOthers(transport: MessageTransport): Promise<Consumer> {
  const publisher = createPublisher({ transport, source: '/bench/others' })
  const answer =
    (type: keyof (typeof Answers)['types']) =>
    ({ data }: { readonly data: Said }) =>
      publisher.publish(Answers, { type, key: data.orderId, data })
  const others = createConsumer({
    transport,
    channel: Commands,
    concurrency: CONCURRENCY,
    handlers: { 'do-1': answer('done-1'), 'do-2': answer('done-2'), 'do-3': answer('done-3') },
  })
  await others.start()
  return others
}

/** Places orders by a message each. */
export function placing(transport: MessageTransport): Contest['start'] {
  const publisher: Publisher = createPublisher({ transport, source: '/bench/customers' })
  return async (orderIds) => {
    await publisher.publish(
      Orders,
      orderIds.map((orderId) => ({ type: 'placed' as const, key: orderId, data: { orderId, text: TEXT } })),
    )
  }
}
