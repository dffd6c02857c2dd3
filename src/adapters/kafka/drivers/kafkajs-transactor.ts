// Transactions by way of kafkajs. Its request for offsets (versions 0 and 1) does not say the generation of the group, so names alone decide who may commit.
import { boundedBy } from '../../../core/bounded.ts'
import { type Clock, sleep } from '../../../core/clock.ts'
import { endsWithin } from '../../../core/patience.ts'
import { type FairleadError, isFairleadError } from '../../../errors/index.ts'
import { classifyKafka, kafkaErrorOf } from '../classify-kafka.ts'
import type { KafkaTransactor, NewRecord, PartitionCommit } from '../driver.ts'
import { send } from './kafkajs-sending.ts'
import type { KafkaJsClient, KafkaJsProducer, KafkaJsTransaction } from './kafkajs-types.ts'

const CLOSE_WITHIN_MS = 2_500
// The markers of the transaction before are still being written.
const BUSY_AGAIN_MS = 20
const RETRY = { initialRetryTime: 50, maxRetryTime: 500, retries: 5 } as const

/** Takes the name. */
export async function kafkaJsTransactor(
  kafka: KafkaJsClient,
  name: string,
  timeoutMs: number,
  clock: Clock,
  withinMs: number,
): Promise<KafkaTransactor> {
  const producer = kafka.producer({
    transactionalId: name,
    transactionTimeout: timeoutMs,
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    retry: RETRY,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  })
  const bounded = async <T>(work: Promise<T>, doing: string): Promise<T> => {
    try {
      return await boundedBy(clock, withinMs, work, 'TIMED_OUT', `no end of ${doing}`, 'kafka')
    } catch (error) {
      throw classifyKafka(error)
    }
  }
  const close = async (): Promise<void> => {
    await endsWithin(producer.disconnect(), CLOSE_WITHIN_MS, clock).catch(() => {})
  }
  try {
    // It asks for the name with its first transaction, and nothing is said of that one before something is written.
    let current = await bounded(begun(producer), 'taking a name for transactions')
    return {
      async transact(records, group, offsets) {
        await bounded(write(current, records, group, offsets, clock), 'a transaction')
        current = await bounded(producer.transaction(), 'a transaction')
      },
      close,
    }
  } catch (error) {
    void close()
    throw error
  }
}

async function begun(producer: KafkaJsProducer): Promise<KafkaJsTransaction> {
  await producer.connect()
  return producer.transaction()
}

async function write(
  current: KafkaJsTransaction,
  records: readonly NewRecord[],
  group: string,
  offsets: readonly PartitionCommit[],
  clock: Clock,
): Promise<void> {
  if (records.length > 0) {
    const answers = await send(current, records)
    const error: FairleadError | undefined = isFairleadError(answers)
      ? answers
      : answers.find((answer) => answer !== undefined)
    if (error !== undefined) throw error
  }
  const topics = offsets.map(({ topic, partition, offset, note }) => ({
    topic,
    // It passes on whatever stands beside the offset, though its types do not say so.
    partitions: [{ partition, offset: String(offset), metadata: note }],
  }))
  for (;;) {
    try {
      await current.sendOffsets({ consumerGroupId: group, topics })
      break
    } catch (thrown) {
      if (kafkaErrorOf(classifyKafka(thrown)) !== 'CONCURRENT_TRANSACTIONS') throw thrown
      await sleep(clock, BUSY_AGAIN_MS)
    }
  }
  await current.commit()
}
