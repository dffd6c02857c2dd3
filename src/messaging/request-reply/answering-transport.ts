// The transport as the consumer of a responder sees it: a request that is given up is answered first, so that nobody waits for it in vain.
import type {
  Delivery,
  MessageTransport,
  ReceiveFrom,
  Receiver,
  SettleOptions,
  SettleVerdict,
} from '../../core/contracts/transport.ts'
import type { Envelope } from '../../core/message.ts'
import type { DeadLetterPlace } from '../consumer/types.ts'

/** Who is told. */
export interface GivingUp {
  /** It is about to be a dead letter. Says whether its asker was told: then it is done. Never rejects. */
  dead(envelope: Envelope, reason: string): Promise<boolean>
  /** It is done, or gone. */
  over(envelope: Envelope): void
}

/** The same transport; what is settled as dead goes through `to` first. `drop`: what nobody is told of is dropped. */
export function answering(transport: MessageTransport, to: GivingUp, drop: boolean): MessageTransport {
  const { inspect, deadLetters, capabilities } = transport
  return {
    name: transport.name,
    capabilities:
      drop && capabilities.deadLetters === 'none' ? { ...capabilities, deadLetters: 'emulated' } : capabilities,
    prepare: (channels, mode) => transport.prepare(channels, mode),
    send: (channel, envelopes, context) => transport.send(channel, envelopes, context),
    receive: (from: ReceiveFrom, sink: (delivery: Delivery) => void): Promise<Receiver> =>
      transport.receive(from, (delivery) => sink(wrapped(delivery, to, drop))),
    close: () => transport.close(),
    ...(inspect === undefined ? {} : { inspect: (from, minPriority) => inspect.call(transport, from, minPriority) }),
    ...(deadLetters === undefined ? {} : { deadLetters }),
  }
}

/** The same place; requests whose asker was told do not go there. */
export function answeringPlace({ transport, channel }: DeadLetterPlace, to: GivingUp): DeadLetterPlace {
  return {
    channel,
    transport: {
      name: transport.name,
      capabilities: transport.capabilities,
      prepare: (channels, mode) => transport.prepare(channels, mode),
      receive: (from, sink) => transport.receive(from, sink),
      close: () => transport.close(),
      async send(place, letters, context) {
        const [letter] = letters
        if (letter !== undefined && (await to.dead(letter, letter.headers['dead-letter-reason'] ?? '')))
          return [{ status: 'accepted' }]
        return await transport.send(place, letters, context)
      },
    },
  }
}

function wrapped(delivery: Delivery, to: GivingUp, drop: boolean): Delivery {
  const { envelope, lane, position, redeliveries, leaseMs, onRevoking, extend } = delivery
  return {
    envelope,
    lane,
    position,
    redeliveries,
    leaseMs,
    onLost: (listener) => delivery.onLost(listener),
    settle: (verdict, options) => settle(delivery, to, drop, verdict, options),
    ...(onRevoking === undefined ? {} : { onRevoking: (listener: () => void) => onRevoking.call(delivery, listener) }),
    ...(extend === undefined ? {} : { extend: (ms: number) => extend.call(delivery, ms) }),
  }
}

async function settle(
  delivery: Delivery,
  to: GivingUp,
  drop: boolean,
  verdict: SettleVerdict,
  options: SettleOptions | undefined,
): Promise<void> {
  const { envelope } = delivery
  if (verdict !== 'dead') await delivery.settle(verdict, options)
  else if ((await to.dead(envelope, options?.reason ?? '')) || drop) await delivery.settle('ack')
  else await delivery.settle('dead', options)
  if (verdict !== 'retry') to.over(envelope)
}
