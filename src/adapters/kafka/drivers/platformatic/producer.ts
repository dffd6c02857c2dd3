// An idempotent producer with sequence numbers of its own: a batch is written once however often it is sent, and after an outcome that nobody knows the
// next one begins with another producer id.
import { type Clock, sleep } from '../../../../core/clock.ts'
import { mostBytesOf } from '../../../../core/envelope.ts'
import { createError, type FairleadError, withFields } from '../../../../errors/index.ts'
import { kafkaErrorOf } from '../../classify-kafka.ts'
import type { KafkaProducer, NewRecord } from '../../driver.ts'
import { failureOf, failureOfCode, isLeaderless } from './failures.ts'
import { laneOf } from './fetcher.ts'
import type { Link } from './link.ts'
import { recordFor } from './records.ts'
import type { PlatformaticBroker, PlatformaticKafka } from './types.ts'

/** How a producer behaves. */
export interface ProducerOptions {
  /** For how long a batch is sent again, by the same sequence number, before it is given up. */
  readonly deliverWithinMs: number
  readonly maxBatchBytes: number
  readonly retryMs: number
  readonly answerWithinMs: number
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
}

/** Of a producer that writes transactions. */
export interface Transactional {
  readonly name: string
  readonly identity: Identity
}

/** As the broker knows a producer. */
export interface Identity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

type Verdict = FairleadError | undefined

interface Batch {
  readonly topic: string
  readonly partition: number
  /** Places in the call. */
  readonly places: number[]
  bytes: number
}

// What the broker adds to a record, at most, with its headers.
const OVERHEAD = 100
const LEADER_MS = 2_000

/** A producer on a link of its own. */
export async function producerOn(
  kafka: Pick<PlatformaticKafka<never>, 'produceV9' | 'initProducerIdV4' | 'NumericMap' | 'protocolErrorsCodesById'>,
  link: Link,
  bootstrap: () => Promise<PlatformaticBroker>,
  clock: Clock,
  options: ProducerOptions,
  transactional?: Transactional | undefined,
): Promise<KafkaProducer> {
  let identity: Identity | undefined = transactional?.identity
  let sequences = new kafka.NumericMap()
  const stop = new AbortController()

  const identified = async (): Promise<NonNullable<typeof identity>> => {
    if (identity === undefined) {
      // Its name is to be taken anew.
      if (transactional !== undefined) throw createError({ code: 'UNAVAILABLE', effect: 'none', transport: 'kafka' })
      try {
        identity = await link.ask(await bootstrap(), (connection) =>
          kafka.initProducerIdV4.api.async(connection, null, options.answerWithinMs, -1n, -1),
        )
      } catch (error) {
        // No record was sent.
        throw withFields(failureOf(error, 'connect'), { effect: 'none' })
      }
      sequences = new kafka.NumericMap()
    }
    return identity
  }

  /** Batches of one partition after another; what goes to different partitions goes at once. */
  const rounds = (records: readonly NewRecord[]): Batch[][] => {
    const last = new Map<string, { batch: Batch; round: number }>()
    const all: Batch[][] = []
    for (const [place, record] of records.entries()) {
      const bytes = sizeOf(record)
      const name = laneOf(record)
      let known = last.get(name)
      if (known === undefined || known.batch.bytes + bytes > options.maxBatchBytes) {
        const round = known === undefined ? 0 : known.round + 1
        known = { batch: { topic: record.topic, partition: record.partition, places: [], bytes: 0 }, round }
        last.set(name, known)
        const some = all[round] ?? []
        all[round] = some
        some.push(known.batch)
      }
      known.batch.places.push(place)
      known.batch.bytes += bytes
    }
    return all
  }

  /** Sends some batches, at most one a partition, to their leader. Answers by batch; undefined where it is written. */
  const sendTo = async (
    broker: PlatformaticBroker,
    batches: readonly Batch[],
    records: readonly NewRecord[],
  ): Promise<readonly Verdict[]> => {
    const { producerId, producerEpoch } = await identified()
    let answer: Awaited<ReturnType<typeof kafka.produceV9.api.async>>
    try {
      answer = await link.ask(
        broker,
        async (connection) => {
          try {
            return await kafka.produceV9.api.async(
              connection,
              -1,
              options.answerWithinMs,
              batches.flatMap(({ places }) =>
                places.map((place) => {
                  const { topic, partition, key, value, headers } = records[place] as NewRecord
                  return recordFor(topic, partition, key, value, headers)
                }),
              ),
              {
                producerId,
                producerEpoch,
                sequences,
                compression: options.compression,
                ...(transactional === undefined ? {} : { transactionalId: transactional.name }),
              },
            )
          } catch (error) {
            // One partition's refusal comes as a failure of all; what became of the others is in it.
            const response = (error as { readonly response?: typeof answer }).response
            if (typeof response === 'object' && response.responses.length > 0) return response
            throw error
          }
        },
        options.answerWithinMs + 1_000,
      )
    } catch (error) {
      return batches.map(() => error as FairleadError)
    }
    const codes = new Map<string, number>()
    if (typeof answer === 'object')
      for (const { name, partitionResponses } of answer.responses)
        for (const { index, errorCode } of partitionResponses) codes.set(`${name}:${index}`, errorCode)
    return batches.map((batch) => {
      const code = codes.get(laneOf(batch))
      if (code === 0) {
        sequences.set(laneOf(batch), ((sequences.get(laneOf(batch)) ?? 0) + batch.places.length) % 2 ** 31)
        return undefined
      }
      return failureOfCode(code ?? -1, kafka.protocolErrorsCodesById, `writing to ${laneOf(batch)}`)
    })
  }

  /**
   * For how long the same batch is sent again, by the same sequence number. What may have been written is, for then it is written once; a leader is waited
   * for a little; what was surely refused is the caller's to send again.
   */
  const patience = (error: FairleadError): number => {
    if (LOST_STATE.has(kafkaErrorOf(error))) return 0
    if (error.effect === 'unknown') return error.transient ? options.deliverWithinMs : 0
    return isLeaderless(error) && error.transient ? Math.min(options.deliverWithinMs, LEADER_MS) : 0
  }

  const write = async (batches: readonly Batch[], records: readonly NewRecord[]): Promise<readonly Verdict[]> => {
    const verdicts = new Map<Batch, Verdict>()
    /** Sent before with an outcome that nobody knows. */
    const unsure = new Map<Batch, FairleadError>()
    let left = [...batches]
    for (const began = clock.now(); left.length > 0; ) {
      const byBroker = new Map<string, { readonly broker: PlatformaticBroker; readonly batches: Batch[] }>()
      const retry: Batch[] = []
      const judge = (batch: Batch, verdict: Verdict): void => {
        if (verdict !== undefined && isLeaderless(verdict)) link.forget()
        if (verdict?.effect === 'unknown') unsure.set(batch, verdict)
        const more = verdict === undefined || stop.signal.aborted ? 0 : patience(unsure.get(batch) ?? verdict)
        if (clock.now() - began < more) retry.push(batch)
        // What was sent once without an answer may be there, whatever the last try says.
        else verdicts.set(batch, verdict === undefined ? undefined : (unsure.get(batch) ?? verdict))
      }
      for (const batch of left) {
        try {
          const broker = await link.leader(batch.topic, batch.partition)
          const address = `${broker.host}:${broker.port}`
          const some = byBroker.get(address) ?? { broker, batches: [] }
          byBroker.set(address, some)
          some.batches.push(batch)
        } catch (error) {
          judge(batch, error as FairleadError)
        }
      }
      await Promise.all(
        [...byBroker.values()].map(async ({ broker, batches: some }) => {
          const answers = await sendTo(broker, some, records).catch((error: unknown) =>
            some.map(() => failureOf(error)),
          )
          for (const [index, batch] of some.entries()) judge(batch, answers[index])
        }),
      )
      left = retry
      if (left.length > 0) await sleep(clock, options.retryMs, stop.signal).catch(() => undefined)
    }
    // The broker may have a batch that we do not count: with the next of the same number it would be taken for a repetition.
    if ([...verdicts.values()].some((verdict) => verdict !== undefined)) identity = undefined
    return batches.map((batch) => verdicts.get(batch))
  }

  await identified()
  return {
    async produce(records) {
      const answers: Verdict[] = records.map(() => undefined)
      const failed = new Map<string, FairleadError>()
      for (const batches of rounds(records)) {
        const open = batches.filter((batch) => !failed.has(laneOf(batch)))
        for (const batch of batches)
          if (!open.includes(batch))
            for (const place of batch.places) answers[place] = behind(failed.get(laneOf(batch)) as FairleadError)
        const verdicts = await write(open, records)
        for (const [index, batch] of open.entries()) {
          const verdict = verdicts[index]
          if (verdict === undefined) continue
          failed.set(laneOf(batch), verdict)
          for (const place of batch.places) answers[place] = verdict
        }
      }
      return answers
    },
    close: () => {
      stop.abort()
      return link.close()
    },
  }
}

const LOST_STATE: ReadonlySet<string | undefined> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
])

/** It was not sent: what stands before it in its partition was not written. */
const behind = (first: FairleadError): FairleadError =>
  createError({
    code: 'UNAVAILABLE',
    effect: 'none',
    message: 'not sent: what comes before it in its partition failed',
    transport: 'kafka',
    cause: first,
    stack: false,
  })

const sizeOf = ({ key, value, headers }: NewRecord): number => {
  let bytes = OVERHEAD + (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, text] of Object.entries(headers)) bytes += name.length + mostBytesOf(text) + 10
  return bytes
}
