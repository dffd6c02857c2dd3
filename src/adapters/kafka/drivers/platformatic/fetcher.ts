// Reads partitions by fetch requests of our own: one at a time per broker, on connections that carry nothing else, because the broker answers what
// comes over one connection in order, and a fetch waits for records.
import { type Clock, sleep } from '../../../../core/clock.ts'
import { endsWithin } from '../../../../core/patience.ts'
import type { FairleadError } from '../../../../errors/index.ts'
import type { KafkaRecord, PartitionFlow, PartitionOffset, TopicPartition } from '../../driver.ts'
import { failureOfCode, isLeaderless } from './failures.ts'
import type { Link } from './link.ts'
import { recordsOf } from './records.ts'
import type { PlatformaticBroker, PlatformaticFetched, PlatformaticKafka } from './types.ts'

/** How records are fetched. */
export interface FetchOptions {
  /** How long a fetch waits for records where there are none. */
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly maxBytesPerPartition: number
  readonly retryMs: number
  readonly answerWithinMs: number
}

/** What is read, and its flow. */
export interface Fetcher extends PartitionFlow {
  /** Reads these and no others; each is paused, and has no place before `seek`. Those in `kept` keep place and pace. */
  assign(partitions: readonly TopicPartition[], kept: readonly TopicPartition[]): void
  /** Whether it was given a place since it was assigned. */
  placed(partition: TopicPartition): boolean
  /** While it is held nothing is told, and what is on its way is fetched again. */
  hold(held: boolean): void
  close(): Promise<void>
}

/** What a fetcher tells. */
export interface FetchEvents {
  onRecords(from: TopicPartition, records: readonly KafkaRecord[]): void
  onFailure(error: FairleadError): void
}

interface Lane extends TopicPartition {
  offset: number | undefined
  paused: boolean
  /** Grows with each seek: what was asked for before it is of no use. */
  turn: number
  busy: boolean
}

const CLOSE_MS = 2_000

/** The name of a partition in maps. */
export const laneOf = ({ topic, partition }: TopicPartition): string => `${topic}:${partition}`

/** A fetcher that reads nothing yet. */
export function fetcherOn(
  kafka: Pick<PlatformaticKafka<never>, 'fetchV12' | 'protocolErrorsCodesById'>,
  link: Link,
  clock: Clock,
  options: FetchOptions,
  events: FetchEvents,
): Fetcher {
  let lanes = new Map<string, Lane>()
  let closed = false
  let held = false
  let scheduled = false
  const stop = new AbortController()
  const running = new Set<Promise<void>>()
  const asking = new Set<string>()

  const ready = (lane: Lane): lane is Lane & { offset: number } =>
    !lane.paused && !lane.busy && lane.offset !== undefined

  const wake = (): void => {
    if (closed || held || scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      void round()
    })
  }

  const track = (work: Promise<void>): void => {
    running.add(work)
    void work.finally(() => running.delete(work))
  }

  const fail = (error: FairleadError): void => {
    if (closed) return
    closed = true
    stop.abort()
    events.onFailure(error)
  }

  /** Asks each broker that is not being asked for what is wanted of it. */
  const round = async (): Promise<void> => {
    if (closed || held) return
    const byBroker = new Map<string, { readonly broker: PlatformaticBroker; readonly lanes: Lane[] }>()
    const wanted = [...lanes.values()].filter(ready)
    for (const lane of wanted) lane.busy = true
    for (const lane of wanted) {
      try {
        const broker = await link.leader(lane.topic, lane.partition)
        const address = `${broker.host}:${broker.port}`
        // While it is asked for others this one waits for its turn.
        if (asking.has(address)) lane.busy = false
        else {
          const group = byBroker.get(address) ?? { broker, lanes: [] }
          byBroker.set(address, group)
          group.lanes.push(lane)
        }
      } catch (error) {
        track(again(lane, error as FairleadError))
      }
    }
    for (const [address, { broker, lanes: some }] of byBroker) {
      asking.add(address)
      track(
        ask(broker, some).finally(() => {
          asking.delete(address)
          wake()
        }),
      )
    }
  }

  /** After a while, where that helps. */
  const again = async (lane: Lane, error: FairleadError): Promise<void> => {
    const gone = !error.transient && isLeaderless(error)
    if (!error.transient && !gone) return fail(error)
    link.forget()
    if (gone && !(await stillThere(lane))) return fail(error)
    await sleep(clock, options.retryMs, stop.signal).catch(() => undefined)
    lane.busy = false
    wake()
  }

  /** A topic that has just been made is not known to all brokers at once. */
  const stillThere = async ({ topic, partition }: Lane): Promise<boolean> => {
    for (let tries = 0; tries < 10 && !closed; tries++) {
      await sleep(clock, options.retryMs, stop.signal).catch(() => undefined)
      const topology = await link.topic(topic, true).catch(() => undefined)
      if (topology !== undefined && partition < topology.count) return true
    }
    return closed
  }

  const ask = async (broker: PlatformaticBroker, some: readonly Lane[]): Promise<void> => {
    const asked = some.filter(
      (lane): lane is Lane & { offset: number } => lanes.get(laneOf(lane)) === lane && lane.offset !== undefined,
    )
    for (const lane of some) if (!asked.includes(lane as never)) lane.busy = false
    if (asked.length === 0 || held) {
      for (const lane of asked) lane.busy = false
      return
    }
    const turns = asked.map(({ turn, offset }) => ({ turn, offset }))
    const topics = new Map<string, { topicId: string; partitions: ReturnType<typeof placeOf>[] }>()
    for (const lane of asked) {
      const topic = topics.get(lane.topic) ?? { topicId: lane.topic, partitions: [] }
      topics.set(lane.topic, topic)
      topic.partitions.push(placeOf(lane))
    }
    let answer: Awaited<ReturnType<typeof kafka.fetchV12.api.async>>
    try {
      answer = await link.ask(
        broker,
        async (connection) => {
          try {
            return await kafka.fetchV12.api.async(
              connection,
              options.maxWaitMs,
              1,
              options.maxBytes,
              // Read committed: what an aborted transaction wrote is nobody's.
              1,
              0,
              -1,
              [...topics.values()],
              [],
              '',
            )
          } catch (error) {
            // One partition's refusal comes as a failure of all; what the others got is in it.
            const response = (error as { readonly response?: typeof answer }).response
            if (response?.responses !== undefined && response.responses.length > 0) return response
            throw error
          }
        },
        options.maxWaitMs + options.answerWithinMs,
      )
    } catch (error) {
      for (const lane of asked) track(again(lane, error as FairleadError))
      return
    }
    const found = new Map<string, PlatformaticFetched>()
    for (const { topicId, partitions } of answer.responses)
      for (const each of partitions) found.set(laneOf({ topic: topicId, partition: each.partitionIndex }), each)
    for (const [index, lane] of asked.entries()) {
      const got = found.get(laneOf(lane))
      const begun = turns[index]
      if (lanes.get(laneOf(lane)) !== lane || lane.turn !== begun?.turn || held || closed) {
        lane.busy = false
        continue
      }
      if (got !== undefined && got.errorCode !== 0) {
        const doing = `fetching ${laneOf(lane)} from ${begun.offset}`
        track(again(lane, failureOfCode(got.errorCode, kafka.protocolErrorsCodesById, doing)))
        continue
      }
      lane.busy = false
      tell(lane, begun.offset, got)
    }
  }

  const placeOf = (lane: { partition: number; offset: number }) => ({
    partition: lane.partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(lane.offset),
    lastFetchedEpoch: -1,
    partitionMaxBytes: options.maxBytesPerPartition,
  })

  const tell = (lane: Lane, from: number, got: PlatformaticFetched | undefined): void => {
    if (got?.records === undefined || got.records.length === 0) return
    const { records, next } = recordsOf(got, from)
    lane.offset = next
    if (records.length > 0) events.onRecords({ topic: lane.topic, partition: lane.partition }, records)
  }

  return {
    assign(partitions, kept) {
      const stays = new Set(kept.map(laneOf))
      lanes = new Map(
        partitions.map((each) => {
          const name = laneOf(each)
          const old = stays.has(name) ? lanes.get(name) : undefined
          const fresh = {
            topic: each.topic,
            partition: each.partition,
            offset: undefined,
            paused: true,
            turn: 0,
            busy: false,
          }
          return [name, old ?? fresh]
        }),
      )
      wake()
    },
    placed: (each) => lanes.get(laneOf(each))?.offset !== undefined,
    hold(on) {
      held = on
      wake()
    },
    pause(partitions) {
      for (const each of partitions) {
        const lane = lanes.get(laneOf(each))
        if (lane !== undefined) lane.paused = true
      }
    },
    resume(partitions) {
      for (const each of partitions) {
        const lane = lanes.get(laneOf(each))
        if (lane !== undefined) lane.paused = false
      }
      wake()
    },
    seek(to: PartitionOffset) {
      const lane = lanes.get(laneOf(to))
      if (lane === undefined) return
      lane.offset = to.offset
      lane.turn++
      wake()
    },
    async close() {
      closed = true
      stop.abort()
      await link.close()
      await endsWithin(Promise.all(running), CLOSE_MS, clock)
    },
  }
}
