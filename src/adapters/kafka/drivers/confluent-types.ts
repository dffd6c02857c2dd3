// The part of `KafkaJS` of @confluentinc/kafka-javascript that the driver uses, by structure: the user hands in the client.

/** Of `new KafkaJS.Kafka(...)` of @confluentinc/kafka-javascript. */
export interface ConfluentClient {
  admin(config?: ConfluentConfig): ConfluentAdmin
  producer(config?: ConfluentConfig): ConfluentProducer
  // Its own type has neither `kafkaJS` nor `rebalance_cb` as they are taken.
  consumer(config: any): ConfluentConsumer
}

/** Settings of librdkafka, and beside them what the package takes in the words of kafkajs. */
export interface ConfluentConfig {
  readonly kafkaJS?: any
  readonly [setting: string]: any
}

/** What the package logs to. */
export interface ConfluentLogger {
  info(message: string): void
  error(message: string): void
  warn(message: string): void
  debug(message: string): void
  namespace(): ConfluentLogger
  setLogLevel(): void
}

/** Of the package. */
export interface ConfluentAdmin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  createTopics(options: {
    timeout?: number
    topics: {
      topic: string
      numPartitions?: number
      replicationFactor?: number
      configEntries?: { name: string; value: string }[]
    }[]
  }): Promise<boolean>
  // One of its versions answers with a list.
  deleteTopics(options: { topics: string[]; timeout?: number }): Promise<unknown>
  listTopics(options?: { timeout?: number }): Promise<string[]>
  fetchTopicMetadata(options?: {
    topics?: string[]
    timeout?: number
  }): Promise<{ name: string; partitions: { partitionId: number; leader: number }[] }[]>
  fetchTopicOffsets(
    topic: string,
    options?: { timeout?: number; isolationLevel: number },
  ): Promise<{ partition: number; high: string; low: string }[]>
  fetchTopicOffsetsByTimestamp(
    topic: string,
    timestamp?: number,
    options?: { timeout?: number; isolationLevel: number },
  ): Promise<{ partition: number; offset: string }[]>
  fetchOffsets(options: {
    groupId: string
    topics?: string[]
    timeout?: number
    requireStableOffsets?: boolean
  }): Promise<
    {
      topic: string
      partitions: { partition: number; offset: string; metadata: string | null; error: unknown }[]
    }[]
  >
  deleteGroups(groups: string[], options?: { timeout?: number }): Promise<unknown>
}

/** Of the package. */
export interface ConfluentProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(record: {
    topic: string
    messages: {
      key?: Buffer | string | null
      value: Buffer | string | null
      partition?: number
      headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>
    }[]
  }): Promise<unknown>
}

/** Of the package. */
export interface ConfluentMessage {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly timestamp: string
  readonly offset: string
  readonly headers?: Record<string, Buffer | string | (Buffer | string)[] | undefined>
}

/** Of the package. */
export interface ConfluentConsumer {
  dependentAdmin(): ConfluentAdmin
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(subscription: { topics: string[] }): Promise<void>
  run(config?: {
    eachBatchAutoResolve?: boolean
    eachBatch?: (payload: {
      batch: { topic: string; partition: number; messages: ConfluentMessage[] }
      resolveOffset(offset: string): void
    }) => Promise<void>
  }): Promise<void>
  pause(topics: { topic: string; partitions?: number[] }[]): void
  resume(topics: { topic: string; partitions?: number[] }[]): void
  seek(to: { topic: string; partition: number; offset: string }): void
  commitOffsets(
    offsets?: { topic: string; partition: number; offset: string; metadata?: string | null }[],
  ): Promise<void>
  committed(
    partitions?: { topic: string; partition: number }[],
    timeout?: number,
  ): Promise<{ topic: string; partition: number; offset: string | null; metadata?: string | null }[]>
}

/** What the package hands to `rebalance_cb` beside the partitions. */
export interface ConfluentAssignmentCalls {
  assign(partitions: { topic: string; partition: number; offset?: number }[]): void
  assignmentLost(): boolean
}
