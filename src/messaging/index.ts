// fairlead/messaging: one interface over many brokers.

export {
  type Needs,
  requireCapabilities,
  type UnmetNeed,
  unmetNeeds,
} from './capabilities.ts'
export { type ChannelOptions, queue, topic } from './channel.ts'
export {
  type Choice,
  chooseAmong,
  explainChoice,
  type Judgement,
  type SystemNeeds,
  type TransportProfile,
} from './choose.ts'
export * from './cloudevents/index.ts'
export type { Codec } from './codec.ts'
export * from './consumer/index.ts'
export { type DecodeOptions, decodeMessage } from './decode.ts'
export { type EncodeOptions, encodeMessage } from './encode.ts'
export * from './inbox/index.ts'
export type { InnerConsumerOptions } from './inner-consumer.ts'
export { type JsonCodecOptions, jsonCodec } from './json-codec.ts'
export * from './outbox/index.ts'
export * from './process/index.ts'
export type { PublishOptions } from './publish-checks.ts'
export {
  createPublisher,
  type FailedMessage,
  type Publisher,
  type PublisherOptions,
  type Receipt,
} from './publisher.ts'
export * from './replica/index.ts'
export * from './request-reply/index.ts'
export type { PublishResult } from './shipment.ts'
export * from './triggers/index.ts'
export * from './types.ts'
