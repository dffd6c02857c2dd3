// fairlead/kafka: messages over Kafka, by the client that you have.
export { kafkaCapabilities } from './capabilities.ts'
export { classifyKafka, isFatalForProducer, type KafkaHints } from './classify-kafka.ts'
export type {
  Committed,
  KafkaDriver,
  KafkaMember,
  KafkaProducer,
  KafkaReader,
  KafkaRecord,
  MemberEvents,
  NewRecord,
  NewTopic,
  PartitionCommit,
  PartitionFlow,
  PartitionOffset,
  ReaderEvents,
  TopicPartition,
} from './driver.ts'
export { type KafkaJsDriverOptions, kafkaJsDriver } from './drivers/kafkajs.ts'
export type { KafkaJsClient } from './drivers/kafkajs-types.ts'
export {
  type PlatformaticDriverOptions,
  type PlatformaticKafka,
  platformaticKafkaDriver,
} from './drivers/platformatic.ts'
export type { KafkaTransportOptions } from './options.ts'
export { type KafkaLag, type KafkaTransport, kafkaTransport } from './transport.ts'
