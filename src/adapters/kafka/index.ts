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
  KafkaTransactor,
  MemberEvents,
  NewRecord,
  NewTopic,
  PartitionCommit,
  PartitionFlow,
  PartitionOffset,
  ReaderEvents,
  TopicPartition,
} from './driver.ts'
export { type ConfluentDriverOptions, confluentDriver } from './drivers/confluent.ts'
export type {
  ConfluentAdmin,
  ConfluentAssignmentCalls,
  ConfluentClient,
  ConfluentConfig,
  ConfluentConsumer,
  ConfluentMessage,
  ConfluentProducer,
} from './drivers/confluent-types.ts'
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
  KafkaJsSender,
  KafkaJsTransaction,
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
  PlatformaticOffsets,
  PlatformaticRequest,
} from './drivers/platformatic/types.ts'
export {
  type PlatformaticDriverOptions,
  type PlatformaticKafka,
  platformaticKafkaDriver,
} from './drivers/platformatic.ts'
export type { KafkaTransportOptions } from './options.ts'
export type { KafkaLag } from './topics.ts'
export {
  type KafkaTransaction,
  type KafkaTransactions,
  type KafkaTransactionsOptions,
  kafkaTransactions,
} from './transactions/kafka-transactions.ts'
export { kafkaTransport } from './transport.ts'
export type { KafkaTransport } from './transport-types.ts'
