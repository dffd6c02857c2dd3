// Where a receiver takes its messages from: a queue that is there, or one of its own that lives as long as its connection.
import type { ChannelAddress } from '../../core/message.ts'
import { createError, isFairleadError } from '../../errors/index.ts'
import type { AmqpChannel } from './driver.ts'

/** The place of a receiver. */
export interface Place {
  readonly address: ChannelAddress
  readonly queue: string
  /** Where what is given up goes. A private place has none: it is gone with the receiver, and so is what was in it. */
  readonly dead: string | undefined
  /** A queue of its own: exclusive to the connection, and made again on the next one. */
  readonly own: boolean
  /** The exchange that an own queue is bound to. */
  readonly exchange: string | undefined
  /** Whether that exchange is its own as well. */
  readonly ownExchange: boolean
  /** Whether the broker counts deliveries there. */
  readonly counts: boolean
}

/** Makes the place on a channel, or finds it. @throws FairleadError */
export async function stand(channel: AmqpChannel, place: Place): Promise<void> {
  const { queue, own, exchange, ownExchange } = place
  if (!own) {
    await channel.checkQueue(queue)
    return
  }
  if (exchange !== undefined && ownExchange)
    await channel.declareExchange(exchange, 'fanout', { durable: false, autoDelete: true, arguments: {} })
  try {
    await channel.declareQueue(queue, { durable: false, exclusive: true, autoDelete: false, arguments: {} })
  } catch (error) {
    throw isFairleadError(error, 'CONFLICT') ? stillHeld(error, queue) : error
  }
  if (exchange !== undefined) await channel.bindQueue(queue, exchange, '')
}

// The connection that was lost is not lost to the broker yet: it finds out by its heartbeats.
function stillHeld(cause: Error, queue: string): Error {
  return createError({
    code: 'CONFLICT',
    message: `the queue ${queue} still belongs to the connection that was lost`,
    transient: true,
    transport: 'rabbitmq',
    cause,
  })
}

/** Removes what is the receiver's own. */
export async function leave(channel: AmqpChannel, { own, queue, ownExchange, exchange }: Place): Promise<void> {
  if (!own) return
  await channel.deleteQueue(queue)
  if (ownExchange && exchange !== undefined) await channel.deleteExchange(exchange)
}
