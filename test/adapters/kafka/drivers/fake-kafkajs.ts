// kafkajs without a broker, as far as a member of a group uses it: a test says what comes of each attempt to join, and when the fetch loop takes a turn.
import type { TopicPartition } from '../../../../src/adapters/kafka/driver.ts'
import type {
  KafkaJsAssigner,
  KafkaJsClient,
  KafkaJsConsumer,
} from '../../../../src/adapters/kafka/drivers/kafkajs-types.ts'

export interface FakeKafkaJs extends KafkaJsClient {
  /** What was asked of the consumer, in order. */
  readonly log: string[]
  /** How many members the group has. */
  members: number
  /** What becomes of the next commits; default: taken. */
  onCommit: () => Promise<void>
  /** What becomes of the next runs; default: they begin. */
  onRun: () => Promise<void>
  /** What becomes of the next questions about the group; default: answered. */
  onDescribe: () => Promise<void>
  /** An attempt to join: answers what it sends, or throws. */
  joining(): readonly Buffer[]
  /** It went well. */
  joined(assigned: readonly number[], memberId?: string): void
  /** The fetch loop begins a turn. @returns the error that makes kafkajs join again */
  turn(): unknown
  crash(error: unknown, restart: boolean): void
  records(partition: number, ...offsets: number[]): Promise<void>
}

export const at = (partition: number): TopicPartition => ({ topic: 'orders', partition })

export const fakeKafkaJs = (): FakeKafkaJs => {
  const listeners = new Map<string, (event: unknown) => void>()
  const tell = (event: string, payload: unknown = {}): void => listeners.get(event)?.({ payload })
  let assigners: readonly KafkaJsAssigner[] = []
  let each: NonNullable<Parameters<KafkaJsConsumer['run']>[0]['eachBatch']> = async () => {}
  const fake: FakeKafkaJs = {
    log: [],
    members: 1,
    onCommit: async () => {},
    onDescribe: async () => {},
    onRun: async () => {},
    joining: () => assigners.map((assigner) => assigner.protocol({ topics: ['orders'] }).metadata),
    joined: (assigned, memberId = 'm') => tell('join', { memberId, memberAssignment: { orders: assigned } }),
    turn() {
      try {
        tell('fetch')
      } catch (error) {
        return error
      }
      return undefined
    },
    crash: (error, restart) => tell('crash', { error, restart }),
    records: (partition, ...offsets) =>
      each({
        batch: {
          ...at(partition),
          messages: offsets.map((offset) => ({ key: null, value: null, timestamp: '0', offset: String(offset) })),
        },
        isStale: () => false,
      }),
    admin() {
      throw new Error('not of a member')
    },
    producer() {
      throw new Error('not of a member')
    },
    consumer: ({ partitionAssigners = [] }) => {
      assigners = partitionAssigners.map((make) =>
        make({ cluster: { findTopicPartitionMetadata: () => [{ partitionId: 0 }, { partitionId: 1 }] } }),
      )
      return {
        events: {
          GROUP_JOIN: 'join',
          REBALANCING: 'rebalancing',
          CRASH: 'crash',
          COMMIT_OFFSETS: 'committed',
          FETCH_START: 'fetch',
        },
        connect: async () => {},
        disconnect: async () => void fake.log.push('disconnect'),
        subscribe: async () => {},
        run: async ({ eachBatch }) => {
          fake.log.push('run')
          await fake.onRun()
          if (eachBatch !== undefined) each = eachBatch
        },
        on: (event, listener) => {
          listeners.set(event, listener)
          return () => listeners.delete(event)
        },
        pause: (some) => void fake.log.push(`pause ${some.flatMap(({ partitions }) => partitions ?? []).join()}`),
        resume: (some) => void fake.log.push(`resume ${some.flatMap(({ partitions }) => partitions ?? []).join()}`),
        seek: ({ partition, offset }) => void fake.log.push(`seek ${partition} to ${offset}`),
        commitOffsets: async () => {
          await fake.onCommit()
          tell('committed')
        },
        describeGroup: async () => {
          await fake.onDescribe()
          return { members: new Array(fake.members).fill({}) }
        },
      }
    },
  }
  return fake
}
