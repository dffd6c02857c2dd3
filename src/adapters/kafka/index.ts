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
export type {
  KafkaJsAdmin,
  KafkaJsAssigner,
  KafkaJsClient,
  KafkaJsCluster,
  KafkaJsConsumer,
  KafkaJsMessage,
  KafkaJsProducer,
  KafkaJsRetry,
} from './drivers/kafkajs-types.ts'
export type { ProducerOptions } from './drivers/platformatic/producer.ts'
export type {
  PlatformaticAdmin,
  PlatformaticBatch,
  PlatformaticBroker,
  PlatformaticConnection,
  PlatformaticFetched,
  PlatformaticMetadata,
  PlatformaticNewRecord,
  PlatformaticRequest,
} from './drivers/platformatic/types.ts'
export {
  type PlatformaticDriverOptions,
  type PlatformaticKafka,
  platformaticKafkaDriver,
} from './drivers/platformatic.ts'
export type { KafkaTransportOptions } from './options.ts'
export type { KafkaLag } from './topics.ts'
export { type KafkaTransport, kafkaTransport } from './transport.ts'
