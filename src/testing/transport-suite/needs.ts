// What cases cannot do without, each in one place, so that one reason has one wording.
import type { Need } from './case.ts'

/** Something can be given back. */
export const givesBack: Need = ({ nack }) => (nack === 'none' ? 'nothing can be given back (nack none)' : undefined)

/** A message given back keeps its place among those of its key. */
export const blocks: Need = ({ nack }) =>
  nack === 'block' || nack === 'either' ? undefined : `a message given back does not keep its place (nack ${nack})`

/** Later messages may pass one that was given back. */
export const passes: Need = ({ nack }) =>
  nack === 'requeue' || nack === 'either' ? undefined : `later messages do not pass one given back (nack ${nack})`

/** Receivers of one place share its messages. */
export const competing: Need = ({ competingConsumers }) => (competingConsumers ? undefined : 'receivers do not compete')

/** Whoever has room gets what waits: members share single messages, not parts of the channel. */
export const sharesMessages: Need = ({ scaleUnit }) =>
  scaleUnit === 'partition'
    ? 'members share partitions: what waits behind a member without room waits for it'
    : undefined

/** A message lies at the broker until somebody takes it. */
export const keeps: Need = ({ acknowledged, durableSubscriptions }, _, mode) => {
  if (acknowledged === 'handled') return 'nothing lies anywhere: a send is a delivery'
  return mode === 'queue' || durableSubscriptions ? undefined : 'nothing is kept for a subscriber that is away'
}

/** A send is answered before anybody has handled the message. */
export const holds: Need = ({ acknowledged }) =>
  acknowledged === 'handled' ? 'a send is answered once its message was handled' : undefined

/** There is an order to keep. */
export const ordered: Need = ({ order }) => (order === 'none' ? 'it keeps no order' : undefined)

/** Different keys are independent of each other. */
export const independentKeys: Need = ({ order }) =>
  order === 'channel' ? 'one order for the whole channel' : undefined

/** Times of handing out are counted. */
export const counts: Need = ({ redeliveryCount }) => (redeliveryCount === 'none' ? 'nobody counts' : undefined)

/** The count is known to every receiver, not only to the one that had the message before. */
export const countsAtBroker: Need = ({ redeliveryCount }) =>
  redeliveryCount === 'broker' ? undefined : `the broker does not count (${redeliveryCount})`

/** Messages can wait for their time. */
export const delays: Need = ({ delay, maxDelayMs }, lab) => {
  if (delay === 'none') return 'it has no delay'
  return maxDelayMs < (lab.delayMs ?? 1_000) ? `it delays for at most ${maxDelayMs} ms` : undefined
}

/** Deliveries of a short lease can be had. */
export const leases: Need = (_, lab) => (lab.leaseMs === undefined ? 'the lab gives no short lease' : undefined)

/** Given-up messages can be seen. */
export const deadLetters: Need = ({ deadLetters: kind }) =>
  kind === 'none' ? 'dead letters are out of reach' : undefined

/** The broker can be restarted. */
export const restart: Need = (_, lab) => (lab.restart === undefined ? 'the lab cannot restart its broker' : undefined)

/** The broker can be stopped. */
export const stop: Need = (_, lab) => (lab.stop === undefined ? 'the lab cannot stop its broker' : undefined)

/** Connections can be cut. */
export const cut: Need = (_, lab) => (lab.cut === undefined ? 'the lab cannot cut connections' : undefined)

/** Connections can be frozen. */
export const freeze: Need = (_, lab) => (lab.freeze === undefined ? 'the lab cannot freeze connections' : undefined)

/** Something of the descriptor that has to be as it is said. */
export const that =
  (holdsFor: (capabilities: Parameters<Need>[0]) => boolean, otherwise: string): Need =>
  (capabilities) =>
    holdsFor(capabilities) ? undefined : otherwise
