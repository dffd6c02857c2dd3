// A driver without a broker: a test plays the broker's part.
import type {
  Committed,
  KafkaDriver,
  KafkaRecord,
  MemberEvents,
  NewRecord,
  PartitionCommit,
  TopicPartition,
} from '../../../src/adapters/kafka/driver.ts'
import type { FairleadError } from '../../../src/errors/index.ts'

/** What a test sees and says. */
export interface FakeDriver extends KafkaDriver {
  events: MemberEvents | undefined
  readonly commits: PartitionCommit[][]
  /** What becomes of the next commits; default: taken. */
  onCommit: () => Promise<void>
  /** What becomes of the next calls; default: written. */
  onProduce: (records: readonly NewRecord[]) => Promise<readonly (FairleadError | undefined)[]>
  readonly produced: NewRecord[][]
  readonly log: string[]
  producers: number
  places: Map<number, Committed>
}

export const at = (partition: number): TopicPartition => ({ topic: 'orders', partition })

export const record = (offset: number, key: string | null = null, text = String(offset)): KafkaRecord => ({
  offset,
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(text),
  headers: { ce_id: text, ce_type: 't', ce_source: '/s' },
  timestamp: 0,
})

export const fakeDriver = (partitions = 2): FakeDriver => {
  const driver: FakeDriver = {
    name: 'fake',
    events: undefined,
    commits: [],
    onCommit: async () => {},
    onProduce: async (records) => records.map(() => undefined),
    produced: [],
    log: [],
    producers: 0,
    places: new Map(),
    partitions: async (topic) => (topic.endsWith('.retry') || topic.endsWith('.dead') ? 1 : partitions),
    createTopics: async () => {},
    deleteTopics: async () => {},
    offsets: async () => Array.from({ length: partitions }, () => 0),
    committed: async () =>
      Array.from({ length: partitions }, (_, partition) => driver.places.get(partition) ?? { offset: 0, note: '' }),
    setCommitted: async () => {},
    producer: async () => {
      const number = ++driver.producers
      return {
        produce: async (records) => {
          driver.produced.push([...records])
          return driver.onProduce(records)
        },
        close: async () => void driver.log.push(`producer ${number} closed`),
      }
    },
    join: async (_, __, events) => {
      driver.events = events
      return {
        pause: (some) => void driver.log.push(`pause ${some.map(({ partition }) => partition).join()}`),
        resume: (some) => void driver.log.push(`resume ${some.map(({ partition }) => partition).join()}`),
        seek: ({ partition, offset }) => void driver.log.push(`seek ${partition} to ${offset}`),
        commit: async (offsets) => {
          await driver.onCommit()
          driver.commits.push([...offsets])
        },
        close: async () => void driver.log.push('left'),
      }
    },
    read: async () => ({ pause() {}, resume() {}, seek() {}, close: async () => {} }),
    close: async () => {},
  }
  return driver
}
