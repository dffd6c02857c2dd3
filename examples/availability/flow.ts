// What the four ways to take an order have in common: the same door, the same two peers, the same question (who has to be up?).
import type { FetchServer } from 'fairlead/memory'
import type { Start } from './machine.ts'
import type { Offer } from './peers.ts'

/** The services of the demo. */
export const SERVICES = ['order', 'consumer', 'restaurant'] as const
export type ServiceName = (typeof SERVICES)[number]

/** Where an order service finds the two others. */
export type Doors = { readonly [name in 'consumer' | 'restaurant']: FetchServer }

/** One way to take an order. */
export interface Flow {
  readonly name: string
  /** Who has to be up for an order to be accepted: what the prediction is made of. */
  readonly needs: readonly ServiceName[]
  /** Who has to come up, some time, for an order that was accepted to be complete. */
  readonly waitsFor: readonly ServiceName[]
  readonly offer: Offer
  orderService(doors: Doors): Start
}
