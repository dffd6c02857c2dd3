// The customers: they order at a steady rate through a real proxy, and wait to hear the rest. Nothing of theirs is ever down.
import { createConsumer, createProxy } from 'fairlead'
import { type FetchServer, memoryRpiTransport, memoryTransport } from 'fairlead/memory'
import { seededRandom } from 'fairlead/testing'
import { Answers, Orders } from './contracts.ts'
import type { World } from './machine.ts'
import { CONSUMERS, RESTAURANTS } from './peers.ts'

/** What became of one order, milliseconds of the run. */
export interface Fate {
  readonly orderId: string
  readonly placedAt: number
  /** The customer was told that the order is taken. */
  acceptedAt?: number | undefined
  /** The customer knows how it ended. */
  completeAt?: number | undefined
  /** What the customer was told instead: kind and code of the error. */
  refusal?: string | undefined
  /** How often it was completed: once is right. */
  times: number
}

/** How many there are, how often one comes, and how long they wait for the answer. */
export interface Custom {
  readonly orders: number
  readonly everyMs: number
  readonly patienceMs?: number | undefined
}

/** Has them order, one after the other. Resolves when all can hear of their orders. */
export async function customers(world: World, door: FetchServer, custom: Custom): Promise<readonly Fate[]> {
  const { clock, broker, seed } = world
  const random = seededRandom(seed ^ 0x5eed)
  const fates = new Map<string, Fate>()
  // The standard pipeline but for retries: what is seen is one try.
  const orders = createProxy(Orders, {
    transport: memoryRpiTransport(door),
    retry: false,
    attemptTimeoutMs: false,
    deadlineMs: custom.patienceMs,
    clock,
    random,
  })
  const complete = (fate: Fate): void => {
    fate.times++
    fate.completeAt ??= clock.now()
  }
  const order = async (fate: Fate): Promise<void> => {
    const { orderId } = fate
    const result = await orders.place.result({
      orderId,
      consumerId: any(random, CONSUMERS),
      restaurantId: any(random, RESTAURANTS),
    })
    if (!result.ok) {
      fate.refusal = `${result.error.kind} ${result.error.code}`
      return
    }
    fate.acceptedAt = clock.now()
    if (result.value.status === 'VALIDATED') complete(fate)
  }
  const answers = createConsumer({
    ...{ clock, random, transport: memoryTransport({ broker }), channel: Answers },
    handlers: { 'order.validated': ({ data }) => complete(fates.get(data.orderId) as Fate) },
  })
  await answers.start()
  for (let number = 0; number < custom.orders; number++) {
    const fate: Fate = { orderId: `order-${number + 1}`, placedAt: (number + 0.5) * custom.everyMs, times: 0 }
    fates.set(fate.orderId, fate)
    clock.setTimer(() => void order(fate), fate.placedAt, undefined)
  }
  return [...fates.values()]
}

function any(random: () => number, count: number): string {
  return String(Math.floor(random() * count))
}
