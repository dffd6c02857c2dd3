// An idempotent producer of @confluentinc/kafka-javascript. Every record is a send of its own: only so does the package say what became of each; librdkafka
// puts them into batches all the same.
import { boundedBy } from '../../../core/bounded.ts'
import type { Clock } from '../../../core/clock.ts'
import { createError, type FairleadError } from '../../../errors/index.ts'
import { kafkaErrorOf } from '../classify-kafka.ts'
import type { KafkaProducer, NewRecord } from '../driver.ts'
import { ConfluentLog, confluentFailure } from './confluent-failures.ts'
import type { ConfluentClient, ConfluentConfig, ConfluentProducer } from './confluent-types.ts'
import { quietly } from './kafkajs-producer.ts'
import { buffer } from './kafkajs-sending.ts'

/** How producers are made. */
export interface ConfluentProducing {
  readonly clock: Clock
  /** For connecting. */
  readonly answerWithinMs: number
  readonly deliverWithinMs: number
  readonly log: ((level: string, message: string) => void) | undefined
  /** Of all clients of the driver. */
  readonly common: ConfluentConfig
  /** The user's. */
  readonly producer: ConfluentConfig
}

// Over librdkafka's own time for a record.
const GRACE_MS = 5_000

/** Connects one. */
export async function confluentProducer(kafka: ConfluentClient, settings: ConfluentProducing): Promise<KafkaProducer> {
  const { clock, deliverWithinMs } = settings
  const log = new ConfluentLog(clock, settings.log)
  const producer = kafka.producer({
    ...settings.common,
    'message.timeout.ms': deliverWithinMs,
    // As many as take some seconds: what the broker refuses (too few replicas) is told by its name, and not as a timeout.
    retries: 5,
    // Nobody sends while another send is under way, so waiting for more is of no use.
    'linger.ms': 0,
    // What is too large is for the broker to say.
    'message.max.bytes': 100_000_000,
    // A topic that is not there is not waited for.
    'topic.metadata.propagation.max.ms': 100,
    ...settings.producer,
    kafkaJS: { idempotent: true, acks: -1, allowAutoTopicCreation: false, logger: log },
  })
  await connected(producer, log, clock, settings.answerWithinMs)
  return {
    async produce(records) {
      const answers = await sent(producer, records, log, clock, deliverWithinMs)
      // librdkafka takes a batch that is too large for a topic as a verdict on each record in it.
      for (const [index, answer] of answers.entries())
        if (records.length > 1 && answer !== undefined && kafkaErrorOf(answer) === 'MESSAGE_TOO_LARGE') {
          const [alone] = await sent(producer, [records[index] as NewRecord], log, clock, deliverWithinMs)
          answers[index] = alone
        }
      return answers
    },
    close: () => quietly(producer.disconnect(), clock),
  }
}

/** Connects a client of the package, and gives up as soon as its log says why it cannot. */
export async function connected(
  client: { connect(): Promise<void>; disconnect(): Promise<void> },
  log: ConfluentLog,
  clock: Clock,
  withinMs: number,
): Promise<void> {
  const connecting = client.connect()
  try {
    await boundedBy(clock, withinMs, log.during(connecting), 'TIMED_OUT', 'not connected', 'kafka')
  } catch (thrown) {
    // Not before: a client that is closed while it connects throws where nobody can catch it.
    const close = (): Promise<void> => client.disconnect()
    connecting.then(close, close).catch(() => {})
    throw confluentFailure(thrown, { phase: 'connect' })
  }
}

async function sent(
  producer: ConfluentProducer,
  records: readonly NewRecord[],
  log: ConfluentLog,
  clock: Clock,
  deliverWithinMs: number,
): Promise<(FairleadError | undefined)[]> {
  const late = createError({
    code: 'TIMED_OUT',
    effect: 'unknown',
    message: `no answer to a send within ${deliverWithinMs} ms`,
    transport: 'kafka',
  })
  const answers = records.map((): FairleadError | undefined => late)
  const all = Promise.all(
    records.map(async ({ topic, partition, key, value, headers }, index) => {
      try {
        await producer.send({ topic, messages: [{ partition, key: bytes(key), value: bytes(value), headers }] })
        answers[index] = undefined
      } catch (error) {
        answers[index] = explained(error, log)
      }
    }),
  )
  await boundedBy(clock, deliverWithinMs + GRACE_MS, all, 'TIMED_OUT', 'no answer', 'kafka').catch(() => {})
  return answers
}

// Of a buffer without memory of its own the package makes null: a value that is empty would be a tombstone.
const EMPTY = Buffer.from('-').subarray(0, 0)

function bytes(given: Uint8Array | null): Buffer | null {
  return given?.byteLength === 0 ? EMPTY : buffer(given)
}

// A producer that may not begin says only that it is beyond help; nothing was sent then.
function explained(error: unknown, log: ConfluentLog): FairleadError {
  const failure = confluentFailure(error)
  return kafkaErrorOf(failure) === undefined && failure.code === 'CONNECTION_LOST' ? (log.refusal ?? failure) : failure
}
