// fairlead/rabbitmq: queues and topics of RabbitMQ, by the client that the user has.
export { orderedRabbitmqCapabilities, priorityRabbitmqCapabilities, rabbitmqCapabilities } from './capabilities.ts'
export type {
  AmqpChannel,
  AmqpDriver,
  AmqpExchangeOptions,
  AmqpMessage,
  AmqpProperties,
  AmqpQueue,
  AmqpQueueOptions,
  AmqpReturned,
} from './driver.ts'
export { type AmqplibDriverOptions, amqplibDriver } from './drivers/amqplib.ts'
export type {
  AmqplibChannel,
  AmqplibConfirmChannel,
  AmqplibConnection,
  AmqplibExchangeOptions,
  AmqplibMessage,
  AmqplibProperties,
  AmqplibPublishOptions,
  AmqplibQueueOptions,
  AmqplibQueueReply,
  AmqplibTagged,
} from './drivers/amqplib-types.ts'
export {
  type RabbitmqClientChannel,
  type RabbitmqClientConnection,
  type RabbitmqClientMessage,
  rabbitmqClientDriver,
} from './drivers/rabbitmq-client.ts'
export type { RabbitmqTransportOptions } from './options.ts'
export { rabbitmqTransport } from './transport.ts'
