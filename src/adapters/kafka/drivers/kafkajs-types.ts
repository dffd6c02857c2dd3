// The part of kafkajs 2 that the driver uses, by structure: the user hands in the client.
import type { ByTopic } from '../assignment.ts'

/** Of `new Kafka(...)` of kafkajs. */
export interface KafkaJsClient {
  admin(options?: { readonly retry?: KafkaJsRetry }): KafkaJsAdmin
  producer(options?: {
    readonly idempotent?: boolean
    readonly transactionalId?: string
    readonly transactionTimeout?: number
    readonly maxInFlightRequests?: number
    readonly allowAutoTopicCreation?: boolean
    readonly retry?: KafkaJsRetry
    readonly createPartitioner?: () => (args: { readonly message: { readonly partition?: number } }) => number
  }): KafkaJsProducer
  consumer(options: {
    readonly groupId: string
    readonly partitionAssigners?: ((config: { readonly cluster: KafkaJsCluster }) => KafkaJsAssigner)[]
    readonly sessionTimeout?: number
    readonly rebalanceTimeout?: number
    readonly heartbeatInterval?: number
    readonly maxBytesPerPartition?: number
    readonly maxWaitTimeInMs?: number
    readonly allowAutoTopicCreation?: boolean
    readonly retry?: KafkaJsRetry
  }): KafkaJsConsumer
}

/** Of kafkajs. */
export interface KafkaJsRetry {
  initialRetryTime?: number
  maxRetryTime?: number
  retries?: number
}

/** Of kafkajs. */
export interface KafkaJsAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  fetchTopicMetadata(options: { topics: string[] }): Promise<{ topics: { name: string; partitions: unknown[] }[] }>
  createTopics(options: {
    topics: {
      topic: string
      numPartitions?: number
      replicationFactor?: number
      configEntries?: { name: string; value: string }[]
    }[]
    waitForLeaders?: boolean
  }): Promise<boolean>
  deleteTopics(options: { topics: string[] }): Promise<void>
  fetchTopicOffsets(topic: string): Promise<{ partition: number; high: string; low: string }[]>
  fetchTopicOffsetsByTimestamp(topic: string, timestamp?: number): Promise<{ partition: number; offset: string }[]>
  fetchOffsets(options: {
    groupId: string
    topics?: string[]
  }): Promise<{ topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[]>
  deleteGroups(groups: string[]): Promise<unknown>
  describeConfigs(configs: {
    resources: { type: number; name: string; configNames?: string[] }[]
    includeSynonyms: boolean
  }): Promise<{ resources: { configEntries: { configName: string; configValue: string }[] }[] }>
}

/** Of kafkajs. */
export interface KafkaJsProducer extends KafkaJsSender {
  connect(): Promise<void>
  disconnect(): Promise<void>
  transaction(): Promise<KafkaJsTransaction>
}

/** Of kafkajs. */
export interface KafkaJsTransaction extends KafkaJsSender {
  sendOffsets(offsets: {
    consumerGroupId: string
    topics: { topic: string; partitions: { partition: number; offset: string }[] }[]
  }): Promise<void>
  commit(): Promise<void>
}

/** Of kafkajs. */
export interface KafkaJsSender {
  sendBatch(batch: {
    acks?: number
    topicMessages?: {
      topic: string
      messages: {
        key?: Buffer | string | null
        value: Buffer | string | null
        partition?: number
        headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>
      }[]
    }[]
  }): Promise<unknown>
}

/** Of kafkajs. */
export interface KafkaJsMessage {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: string
  readonly offset: string
  readonly headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>
}

/** Of kafkajs. */
export interface KafkaJsConsumer {
  readonly events: {
    readonly GROUP_JOIN: string
    readonly REBALANCING: string
    readonly CRASH: string
    readonly COMMIT_OFFSETS: string
    readonly FETCH_START: string
  }
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: string[]; fromBeginning?: boolean }): Promise<void>
  run(config: {
    autoCommit?: boolean
    eachBatchAutoResolve?: boolean
    eachBatch?: (payload: {
      batch: { readonly topic: string; readonly partition: number; readonly messages: KafkaJsMessage[] }
      isStale(): boolean
    }) => Promise<void>
  }): Promise<void>
  // Each event has a payload of its own; one signature for all of them takes no other type.
  on(event: string, listener: (event: any) => void): () => void
  pause(topics: { topic: string; partitions?: number[] }[]): void
  resume(topics: { topic: string; partitions?: number[] }[]): void
  seek(to: { topic: string; partition: number; offset: string }): void
  commitOffsets(
    offsets: { topic: string; partition: number; offset: string; metadata?: string | null }[],
  ): Promise<void>
  describeGroup(): Promise<{ readonly members: readonly unknown[] }>
}

/** What comes with GROUP_JOIN. */
export interface KafkaJsJoin {
  readonly memberId: string
  readonly memberAssignment: ByTopic
}

/** What comes with CRASH. */
export interface KafkaJsCrash {
  readonly error: unknown
  /** Whether it begins again by itself. */
  readonly restart: boolean
}

/** Of kafkajs. */
export interface KafkaJsCluster {
  findTopicPartitionMetadata(topic: string): { readonly partitionId: number }[]
}

/** Of kafkajs. */
export interface KafkaJsAssigner {
  name: string
  version: number
  assign(group: {
    members: { memberId: string; memberMetadata: Buffer }[]
    topics: string[]
  }): Promise<{ memberId: string; memberAssignment: Buffer }[]>
  protocol(subscription: { topics: string[] }): { name: string; metadata: Buffer }
}
