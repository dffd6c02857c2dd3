// Sending by way of kafkajs, and what became of each record: it says little of that, and can come to wait for ever.
import { boundedBy } from '../../../core/bounded.ts'
import type { Clock } from '../../../core/clock.ts'
import { endsWithin } from '../../../core/patience.ts'
import { type FairleadError, isFairleadError, withFields } from '../../../errors/index.ts'
import { brokerError, classifyKafka, kafkaErrorOf } from '../classify-kafka.ts'
import type { KafkaProducer, NewRecord } from '../driver.ts'
import { byPlace, send } from './kafkajs-sending.ts'
import type { ProducerSettings } from './kafkajs-settings.ts'
import type { KafkaJsClient, KafkaJsProducer } from './kafkajs-types.ts'

const CLOSE_WITHIN_MS = 2_500

/** Few and quick: whoever asks decides about the rest, and until the client gives up nobody knows what became of it. */
export const RETRY = { initialRetryTime: 50, maxRetryTime: 500, retries: 3 } as const

/** Makes producers of a driver. */
export class KafkaJsProducers {
  private readonly kafka: KafkaJsClient
  private readonly settings: ProducerSettings
  private readonly partitions: (topic: string) => Promise<number | undefined>

  constructor(
    kafka: KafkaJsClient,
    settings: ProducerSettings,
    partitions: (topic: string) => Promise<number | undefined>,
  ) {
    this.kafka = kafka
    this.settings = settings
    this.partitions = partitions
  }

  /** Connects one. */
  async make(): Promise<KafkaProducer> {
    let producer = await this.connected()
    const { settings } = this
    return {
      produce: async (records) => {
        const answers = await this.sent(producer, records)
        if (!isFairleadError(answers)) return this.explained(records, answers)
        const failure = answers
        if (kafkaErrorOf(failure) === undefined || failure.effect !== 'none') return records.map(() => failure)
        // One topic that is gone makes kafkajs refuse all, also if it was asked for long ago.
        const gone = isUnknownTopic(failure) ? await this.gone(records) : new Set<string>()
        if (isUnknownTopic(failure)) {
          void quietly(producer.disconnect(), settings.clock)
          try {
            producer = await this.connected()
          } catch (error) {
            return records.map(() => error as FairleadError)
          }
        }
        // kafkajs says only that one of the partitions was refused. Each alone says which: what was written before has the same place in the sequence
        // once more, and the broker leaves it out.
        const verdicts = new Map<string, FairleadError | undefined>()
        let unsure = false
        for (const [place, part] of byPlace(records)) {
          const { topic } = part[0] as NewRecord
          const answer: Awaited<ReturnType<typeof send>> = unsure
            ? brokerError('LEADER_NOT_AVAILABLE', 'not sent: one beside it has no answer')
            : gone.has(topic)
              ? failure
              : await this.sent(producer, part)
          unsure ||= isFairleadError(answer) && answer.effect !== 'none'
          verdicts.set(place, isFairleadError(answer) ? answer : (await this.explained(part, answer))[0])
        }
        return records.map(({ topic, partition }) => verdicts.get(`${topic} ${partition}`))
      },
      close: () => quietly(producer.disconnect(), settings.clock),
    }
  }

  // kafkajs can come to wait for ever; what it was given may be written all the same, or yet.
  private async sent(producer: KafkaJsProducer, records: readonly NewRecord[]): ReturnType<typeof send> {
    const { clock, deliverWithinMs } = this.settings
    try {
      const work = send(producer, records)
      return await boundedBy(clock, deliverWithinMs, work, 'TIMED_OUT', 'no answer to a send', 'kafka')
    } catch (error) {
      return withFields(error as FairleadError, { effect: 'unknown' })
    }
  }

  private async connected(): Promise<KafkaJsProducer> {
    const producer = this.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      retry: RETRY,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    })
    try {
      await producer.connect()
      return producer
    } catch (error) {
      void quietly(producer.disconnect(), this.settings.clock)
      throw classifyKafka(error, { phase: 'connect' })
    }
  }

  // A partition that kafkajs does not know of may only be without a leader for the moment.
  private async explained(
    records: readonly NewRecord[],
    answers: readonly (FairleadError | undefined)[],
  ): Promise<readonly (FairleadError | undefined)[]> {
    if (answers.every((answer) => answer === undefined)) return answers
    const counts = new Map<string, number>()
    for (const [at, answer] of answers.entries()) {
      const { topic } = records[at] as NewRecord
      if (answer === undefined || counts.has(topic)) continue
      const count = await this.partitions(topic).catch(() => Number.POSITIVE_INFINITY)
      counts.set(topic, count ?? 0)
    }
    return answers.map((answer, at) => {
      const { topic, partition } = records[at] as NewRecord
      if (answer === undefined || partition >= (counts.get(topic) ?? 0)) return answer
      return brokerError('LEADER_NOT_AVAILABLE', `partition ${partition} of ${topic} has no leader now`)
    })
  }

  private async gone(records: readonly NewRecord[]): Promise<Set<string>> {
    const gone = new Set<string>()
    for (const topic of new Set(records.map((record) => record.topic)))
      if ((await this.partitions(topic).catch(() => 0)) === undefined) gone.add(topic)
    return gone
  }
}

/** Waits, but not long, and for nothing that fails. */
export async function quietly(work: Promise<unknown>, clock: Clock): Promise<void> {
  try {
    await endsWithin(work, CLOSE_WITHIN_MS, clock)
  } catch {
    // It is over either way.
  }
}

/** Whether a topic is not there. */
export function isUnknownTopic(error: FairleadError): boolean {
  return kafkaErrorOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION'
}
