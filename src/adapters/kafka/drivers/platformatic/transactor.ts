// Transactions by the requests of the protocol: partitions and the group are added, records and offsets are written, and all of it ends at once.
// https://kafka.apache.org/protocol.html; the generation of the group is not said: names decide who may commit, as with clients that cannot say it.
import { type Clock, sleep } from '../../../../core/clock.ts'
import type { FairleadError } from '../../../../errors/index.ts'
import { kafkaErrorOf } from '../../classify-kafka.ts'
import type { KafkaTransactor, NewRecord, PartitionCommit } from '../../driver.ts'
import { isElsewhere } from './failures.ts'
import { offsetsByTopic } from './group-bytes.ts'
import type { Link } from './link.ts'
import { type Identity, type ProducerOptions, producerOn } from './producer.ts'
import type { PlatformaticBroker, PlatformaticConnection, PlatformaticKafka } from './types.ts'

// The markers of the transaction before are still being written, or the coordinator is moving.
const BUSY_AGAIN_MS = 20
const BUSY: ReadonlySet<string | undefined> = new Set(['CONCURRENT_TRANSACTIONS'])

/** Takes the name, on a link of its own. */
export async function transactorOn(
  kafka: Pick<
    PlatformaticKafka<never>,
    | 'produceV9'
    | 'initProducerIdV4'
    | 'addPartitionsToTxnV3'
    | 'addOffsetsToTxnV3'
    | 'txnOffsetCommitV3'
    | 'endTxnV3'
    | 'NumericMap'
    | 'protocolErrorsCodesById'
  >,
  link: Link,
  name: string,
  timeoutMs: number,
  clock: Clock,
  options: ProducerOptions,
): Promise<KafkaTransactor> {
  const known = new Map<string, PlatformaticBroker>()

  /** What may be asked again as it is: until then nothing has come of it. */
  const asked = async <T>(
    of: 'transactions' | 'group',
    key: string,
    request: (connection: PlatformaticConnection) => Promise<T>,
  ): Promise<T> => {
    for (const began = clock.now(); ; await sleep(clock, BUSY_AGAIN_MS)) {
      try {
        const broker = known.get(of) ?? (await link.coordinator(key, of))
        known.set(of, broker)
        return await link.ask(broker, request)
      } catch (thrown) {
        const error = thrown as FairleadError
        if (isElsewhere(error)) known.delete(of)
        const again = isElsewhere(error) || BUSY.has(kafkaErrorOf(error))
        if (!again || clock.now() - began > options.deliverWithinMs) throw error
      }
    }
  }

  const identity: Identity = await asked('transactions', name, (connection) =>
    kafka.initProducerIdV4.api.async(connection, name, timeoutMs, -1n, -1),
  )
  const { producerId, producerEpoch } = identity
  const none = (): Promise<never> => Promise.reject(new Error('a transaction has its identity already'))
  const producer = await producerOn(kafka, link, none, clock, options, { name, identity })

  return {
    async transact(records, group, offsets) {
      if (records.length > 0) {
        const transaction = {
          transactionalId: name,
          producerId,
          producerEpoch,
          verifyOnly: false,
          topics: partitionsOf(records),
        }
        await asked('transactions', name, (connection) =>
          kafka.addPartitionsToTxnV3.api.async(connection, [transaction]),
        )
        const error = (await producer.produce(records)).find((answer) => answer !== undefined)
        if (error !== undefined) throw error
      }
      await asked('transactions', name, (connection) =>
        kafka.addOffsetsToTxnV3.api.async(connection, name, producerId, producerEpoch, group),
      )
      await asked('group', group, (connection) => write(connection, group, offsets))
      await asked('transactions', name, (connection) =>
        kafka.endTxnV3.api.async(connection, name, producerId, producerEpoch, true),
      )
    },
    // With the link, which is its own.
    close: () => producer.close(),
  }

  function write(connection: PlatformaticConnection, group: string, offsets: readonly PartitionCommit[]) {
    const topics = offsetsByTopic(offsets)
    return kafka.txnOffsetCommitV3.api.async(connection, name, group, producerId, producerEpoch, -1, '', null, topics)
  }
}

function partitionsOf(records: readonly NewRecord[]): { name: string; partitions: number[] }[] {
  const topics = new Map<string, Set<number>>()
  for (const { topic, partition } of records) {
    const all = topics.get(topic)
    if (all === undefined) topics.set(topic, new Set([partition]))
    else all.add(partition)
  }
  return [...topics].map(([name, all]) => ({ name, partitions: [...all] }))
}
