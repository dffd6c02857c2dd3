// One client of the package, and how requests go through it: each has a bound of its own, and a client with a connection that can no longer be
// trusted is replaced. (An answer that comes after its request has timed out leaves the package's connection unable to read the next one.)
import { type Clock, sleep } from '../../../../core/clock.ts'
import { endsWithin } from '../../../../core/patience.ts'
import { createError, type FairleadError } from '../../../../errors/index.ts'
import { brokerError, kafkaErrorOf } from '../../classify-kafka.ts'
import { failureOf, isStale } from './failures.ts'
import type { PlatformaticAdmin, PlatformaticBroker, PlatformaticConnection, PlatformaticMetadata } from './types.ts'

/** What goes through one client. */
export interface Link {
  /** A request to one broker. */
  ask<T>(
    broker: PlatformaticBroker,
    request: (connection: PlatformaticConnection) => Promise<T>,
    withinMs?: number,
  ): Promise<T>
  /** A call of the client itself. */
  call<T>(work: (client: PlatformaticAdmin) => Promise<T>, withinMs?: number): Promise<T>
  /** The metadata of a topic; undefined when it is not there. What is known is used for a while, unless `fresh`. */
  topic(name: string, fresh?: boolean): Promise<Topology | undefined>
  /** Where a partition's leader listens. @throws FairleadError where it has none now */
  leader(topic: string, partition: number): Promise<PlatformaticBroker>
  /** Of a group, or of what writes transactions under a name. */
  coordinator(name: string, of?: 'group' | 'transactions'): Promise<PlatformaticBroker>
  /** What is known of topics is to be asked again. */
  forget(): void
  /** Ends within a few seconds. Never rejects. */
  close(): Promise<void>
}

/** One topic of the cluster. */
export interface Topology {
  readonly count: number
  readonly leaders: readonly (PlatformaticBroker | undefined)[]
}

/** How long the package is given to close what it has; it waits for what is to be written. */
const CLOSE_MS = 2_000
/** For how long leaders are believed in; a broker that is not one says so. */
const BELIEF_MS = 30_000

/** A link through clients that `make` makes. */
export function linkTo(make: () => PlatformaticAdmin, clock: Clock, answerWithinMs: number): Link {
  let client: PlatformaticAdmin | undefined
  let closed = false
  let ending: Promise<unknown> = Promise.resolve()
  const known = new Map<string, { readonly at: number; readonly topology: Topology }>()

  const renew = (): void => {
    const old = client
    client = undefined
    if (old === undefined) return
    const end = endsWithin(
      old.close().catch(() => undefined),
      CLOSE_MS,
      clock,
    )
    ending = Promise.all([ending, end])
  }

  const bounded = async <T>(work: (mine: PlatformaticAdmin) => Promise<T>, withinMs: number): Promise<T> => {
    if (closed) throw createError({ code: 'SHUTDOWN', message: 'the client is closed' })
    const mine = (client ??= make())
    const give = new AbortController()
    const late = sleep(clock, withinMs, give.signal).then(
      () => {
        throw createError({ code: 'TIMED_OUT', message: `no answer within ${withinMs} ms`, transport: 'kafka' })
      },
      () => undefined as never,
    )
    try {
      return await Promise.race([work(mine), late])
    } catch (error) {
      const failure = failureOf(error)
      if (mine === client && isStale(failure)) renew()
      throw failure
    } finally {
      give.abort()
    }
  }

  const link: Link = {
    ask: (broker, request, withinMs = answerWithinMs) =>
      bounded(async (mine) => {
        let connection: PlatformaticConnection
        try {
          connection = await mine.connections.get(broker)
        } catch (error) {
          throw failureOf(error, 'connect')
        }
        return request(connection)
      }, withinMs),
    call: (work, withinMs = answerWithinMs) => bounded(work, withinMs),
    async topic(name, fresh = false) {
      const believed = known.get(name)
      if (!fresh && believed !== undefined && clock.now() - believed.at < BELIEF_MS) return believed.topology
      let metadata: PlatformaticMetadata
      try {
        metadata = await link.call((mine) => mine.metadata({ topics: [name], forceUpdate: true }))
      } catch (error) {
        if (kafkaErrorOf(error as FairleadError) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
        throw error
      }
      const topic = metadata.topics.get(name)
      if (topic === undefined) return undefined
      const leaders = Array.from({ length: topic.partitionsCount }, (_, partition) =>
        metadata.brokers.get(topic.partitions[partition]?.leader ?? -1),
      )
      const topology = { count: topic.partitionsCount, leaders }
      known.set(name, { at: clock.now(), topology })
      return topology
    },
    async leader(topic, partition) {
      const topology = await link.topic(topic)
      if (topology === undefined || partition >= topology.count)
        throw brokerError(
          'UNKNOWN_TOPIC_OR_PARTITION',
          topology === undefined ? `there is no topic ${topic}` : `topic ${topic} has no partition ${partition}`,
        )
      const leader = topology.leaders[partition]
      if (leader !== undefined) return leader
      link.forget()
      throw createError({
        code: 'UNAVAILABLE',
        effect: 'none',
        message: `partition ${partition} of ${topic} has no leader now`,
        transport: 'kafka',
      })
    },
    async coordinator(name, of = 'group') {
      const [found] = await link.call((mine) => mine.findCoordinator({ keyType: of === 'group' ? 0 : 1, keys: [name] }))
      if (found === undefined)
        throw createError({ code: 'UNAVAILABLE', effect: 'none', message: `no coordinator of ${of} ${name}` })
      return found
    },
    forget: () => known.clear(),
    async close() {
      closed = true
      renew()
      await ending
    },
  }
  return link
}
