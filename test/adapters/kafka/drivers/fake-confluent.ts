// @confluentinc/kafka-javascript without librdkafka and without a broker: a test says which partitions are given and taken, what is committed, and what the log says.
import type { TopicPartition } from '../../../../src/adapters/kafka/driver.ts'
import type {
  ConfluentAssignmentCalls,
  ConfluentClient,
  ConfluentConfig,
  ConfluentConsumer,
  ConfluentLogger,
} from '../../../../src/adapters/kafka/drivers/confluent-types.ts'

type Sent = Parameters<ReturnType<ConfluentClient['producer']>['send']>[0]

export interface FakeConfluent extends ConfluentClient {
  /** What was asked of the clients, in order. */
  readonly asked: string[]
  readonly sent: Sent[]
  /** What the broker has of the group, by partition. */
  readonly committed: Map<number, { readonly offset: string; readonly metadata: string }>
  /** Whether the broker takes commits. */
  takes: boolean
  /** What becomes of a send. */
  onSend: (record: Sent) => Promise<unknown>
  /** What becomes of a connection. */
  onConnect: () => Promise<void>
  /** Resolves when the driver has done with it. */
  give(...partitions: number[]): Promise<void>
  take(lost: boolean, ...partitions: number[]): Promise<void>
  /** @returns the offset that was resolved */
  records(partition: number, ...offsets: number[]): Promise<string>
  says(message: string): void
}

export const at = (partition: number): TopicPartition => ({ topic: 'orders', partition })

/** As the package throws them. */
export const failure = (code: number, message: string): Error =>
  Object.assign(new Error(message), { code, type: 'ERR_SOMETHING' })

export const fakeConfluent = (): FakeConfluent => {
  const configs: ConfluentConfig[] = []
  let each: NonNullable<NonNullable<Parameters<ConfluentConsumer['run']>[0]>['eachBatch']> = async () => {}
  const places = (all: readonly { topic: string; partitions?: number[] }[]): string =>
    all.flatMap(({ partitions = [] }) => partitions).join()
  const admin = {
    connect: async () => {},
    disconnect: async () => {},
    createTopics: async () => true,
    deleteTopics: async () => {},
    listTopics: async () => [],
    fetchTopicMetadata: async () => [],
    fetchTopicOffsets: async () => [],
    fetchTopicOffsetsByTimestamp: async () => [],
    deleteGroups: async () => {},
    fetchOffsets: async () => [
      {
        topic: 'orders',
        partitions: [...fake.committed].map(([partition, { offset, metadata }]) => ({
          partition,
          offset,
          metadata,
          error: null,
        })),
      },
    ],
  }
  const fake: FakeConfluent = {
    asked: [],
    sent: [],
    committed: new Map(),
    takes: true,
    onSend: async () => undefined,
    onConnect: async () => {},
    async give(...partitions) {
      const calls: ConfluentAssignmentCalls = {
        assign: (all) =>
          void fake.asked.push(`assign ${all.map(({ partition, offset }) => `${partition}@${offset}`).join()}`),
        assignmentLost: () => false,
      }
      await configs.at(-1)?.rebalance_cb({ code: -175 }, partitions.map(at), calls)
    },
    async take(lost, ...partitions) {
      const calls = { assign: () => {}, assignmentLost: () => lost }
      await configs.at(-1)?.rebalance_cb({ code: -174 }, partitions.map(at), calls)
    },
    async records(partition, ...offsets) {
      let resolved = ''
      await each({
        batch: {
          ...at(partition),
          messages: offsets.map((offset) => ({ key: null, value: null, timestamp: '0', offset: String(offset) })),
        },
        resolveOffset: (offset) => {
          resolved = offset
        },
      })
      return resolved
    },
    says: (message) => (configs.at(-1)?.kafkaJS.logger as ConfluentLogger | undefined)?.error(message),
    admin: (config = {}) => {
      configs.push(config)
      return admin
    },
    producer: (config = {}) => {
      configs.push(config)
      return {
        connect: () => fake.onConnect(),
        disconnect: async () => void fake.asked.push('disconnect'),
        send: (record) => {
          fake.sent.push(record)
          return fake.onSend(record)
        },
      }
    },
    consumer: (config: ConfluentConfig) => {
      configs.push(config)
      return {
        dependentAdmin: () => admin,
        connect: () => fake.onConnect(),
        disconnect: async () => void fake.asked.push('disconnect'),
        subscribe: async () => {},
        run: async (running) => {
          each = running?.eachBatch ?? each
        },
        pause: (all) => void fake.asked.push(`pause ${places(all)}`),
        resume: (all) => void fake.asked.push(`resume ${places(all)}`),
        seek: ({ partition, offset }) => void fake.asked.push(`seek ${partition}@${offset}`),
        // As the package does: it is queued, and what becomes of it nobody hears.
        commitOffsets: async (offsets = []) => {
          fake.asked.push(`commit ${offsets.map(({ partition, offset }) => `${partition}@${offset}`).join()}`)
          if (fake.takes)
            for (const { partition, offset, metadata } of offsets)
              fake.committed.set(partition, { offset, metadata: metadata ?? '' })
        },
        committed: async (all = []) =>
          all.map(({ topic, partition }) => {
            const known = fake.committed.get(partition)
            if (known === undefined) return { topic, partition, offset: null }
            return { topic, partition, offset: known.offset === '0' ? null : known.offset, metadata: known.metadata }
          }),
      }
    },
  }
  return fake
}
