// The transport as the consumer of a stored requester sees it: replies do not expire. One that came in time, while no process of the requester was there to take it, is an answer;
// and whether it is too late is for the row to say.
import type { Delivery, MessageTransport } from '../../core/contracts/transport.ts'

/** The same transport; what it hands out has no end. */
export function withoutExpiry(transport: MessageTransport): MessageTransport {
  const { inspect, deadLetters } = transport
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    prepare: (channels, mode) => transport.prepare(channels, mode),
    send: (channel, envelopes, context) => transport.send(channel, envelopes, context),
    receive: (from, sink) => transport.receive(from, (delivery) => sink(endless(delivery))),
    close: () => transport.close(),
    ...(inspect === undefined ? {} : { inspect: (from, minPriority) => inspect.call(transport, from, minPriority) }),
    ...(deadLetters === undefined ? {} : { deadLetters }),
  }
}

function endless(delivery: Delivery): Delivery {
  const { envelope, lane, position, redeliveries, leaseMs, onRevoking, extend } = delivery
  if (envelope.expiresAt === undefined) return delivery
  return {
    envelope: { ...envelope, expiresAt: undefined },
    lane,
    position,
    redeliveries,
    leaseMs,
    onLost: (listener) => delivery.onLost(listener),
    settle: (verdict, options) => delivery.settle(verdict, options),
    ...(onRevoking === undefined ? {} : { onRevoking: (listener: () => void) => onRevoking.call(delivery, listener) }),
    ...(extend === undefined ? {} : { extend: (ms: number) => extend.call(delivery, ms) }),
  }
}
