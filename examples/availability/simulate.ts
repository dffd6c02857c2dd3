// Runs one flow in virtual time: the same outages, the same customers; what differs is how orders are taken.
import { memoryBroker } from 'fairlead/memory'
import { fakeClock, seededRandom } from 'fairlead/testing'
import { customers, type Fate } from './customers.ts'
import { type Flow, SERVICES, type ServiceName } from './flow.ts'
import { machine, schedule, type World } from './machine.ts'
import { drawOutages, type Outage } from './outages.ts'
import { consumerService, restaurantService } from './peers.ts'

/** The size of a run, and its dice. */
export interface Setting {
  readonly seed: number
  readonly orders: number
  /** From one order to the next, milliseconds. */
  readonly everyMs: number
  /** Of each service: how much of the run it is down. */
  readonly downShare: number
  /** Of one outage, milliseconds. */
  readonly meanDownMs: number
  /** How long a customer waits for the answer, milliseconds. Default 5,000. */
  readonly patienceMs?: number | undefined
}

/** What came of it. */
export interface Run {
  readonly flow: Flow
  readonly outages: { readonly [name in ServiceName]: readonly Outage[] }
  readonly runMs: number
  readonly fates: readonly Fate[]
}

const HOUR_MS = 3_600_000
/** After the last order: the last outage ends, and what waited is done. */
const MOST_HOURS_AFTER = 24

export async function simulate(flow: Flow, setting: Setting): Promise<Run> {
  const { seed, orders, everyMs, downShare, meanDownMs } = setting
  const runMs = orders * everyMs
  const clock = fakeClock()
  const world: World = { clock, broker: memoryBroker({ clock, retainMessages: 0 }), seed }
  const consumer = machine(world, 'consumer', consumerService(flow.offer))
  const restaurant = machine(world, 'restaurant', restaurantService(flow.offer))
  const order = machine(world, 'order', flow.orderService({ consumer: consumer.door, restaurant: restaurant.door }))
  const outages = {} as Record<ServiceName, readonly Outage[]>
  const machines = { order, consumer, restaurant }
  // The order service last: who begins a copy calls those whose copy it is.
  for (const name of [...SERVICES].reverse()) await machines[name].start()
  for (const [index, name] of SERVICES.entries()) {
    outages[name] = drawOutages(runMs, downShare, meanDownMs, seededRandom(seed * 31 + index))
    schedule(world, machines[name], outages[name])
  }
  const fates = await customers(world, order.door, setting)
  while (clock.now() < runMs) await clock.advance(HOUR_MS)
  const open = (): boolean =>
    fates.some(({ acceptedAt, completeAt }) => acceptedAt !== undefined && completeAt === undefined)
  for (let hours = 0; open() && hours < MOST_HOURS_AFTER; hours++) await clock.advance(HOUR_MS)
  return { flow, outages, runMs, fates }
}
