// The part of a transport that writes transactions: for which groups, under which names, and what becomes of what was published.
import type { OutboxRow } from '../../../core/contracts/store.ts'
import { type Code, createError, type FairleadError } from '../../../errors/index.ts'
import { problemOf } from '../checks.ts'
import type { KafkaDelivery } from '../delivery.ts'
import type { Committed, KafkaDriver, NewRecord } from '../driver.ts'
import { type KafkaSettings, topicName } from '../options.ts'
import { Place } from '../place.ts'
import { KafkaReceiver } from '../receiver.ts'
import type { Topics } from '../topics.ts'
import { recordOf } from '../wire.ts'
import type { TransactionDesk, TransactionPlan } from './kafka-transactions.ts'
import type { TransactionParts } from './parts.ts'

/** Transactions of one transport; none until they are begun. */
export class TransportTransactions {
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private readonly topics: Topics
  private readonly partitionFor: (key: Uint8Array | null, partitions: number) => number
  private plan: TransactionPlan | undefined

  constructor(
    driver: KafkaDriver,
    settings: KafkaSettings,
    topics: Topics,
    partitionFor: (key: Uint8Array | null, partitions: number) => number,
  ) {
    this.driver = driver
    this.settings = settings
    this.topics = topics
    this.partitionFor = partitionFor
  }

  /** @param receiving some group commits without already */
  begin(plan: TransactionPlan, receiving: boolean): TransactionDesk {
    if (this.driver.transactor === undefined)
      throw this.error('CAPABILITY_MISSING', `the driver ${this.driver.name} has no transactions`)
    if (receiving || this.plan !== undefined)
      throw this.error(
        'PROGRAMMING_ERROR',
        'transactions of a transport are made once, before anything is received by it',
      )
    this.plan = plan
    return {
      clock: this.settings.clock,
      recordsOf: (rows) => this.recordsOf(rows),
      owns: (delivery) => this.placeOf(delivery) !== undefined,
      commit: async (deliveries, records) => {
        const first = deliveries[0] as KafkaDelivery
        const place = this.placeOf(first)
        if (place === undefined) throw first.lostError()
        await place.commitTogether(deliveries, records)
      },
    }
  }

  /** What a place of this group commits by; undefined: not by transactions. */
  partsOf(group: string): TransactionParts | undefined {
    const { plan, driver, topics } = this
    const { transactor } = driver
    if (plan === undefined || transactor === undefined) return undefined
    return {
      group,
      open: ({ topic, partition }) => transactor.call(driver, plan.nameOf(group, topic, partition), plan.timeoutMs),
      placeOf: async (at) => (await topics.placesOf(group, [at]))[0] as Committed,
    }
  }

  private placeOf({ owner }: KafkaDelivery): Place | undefined {
    if (!(owner instanceof KafkaReceiver) || !(owner.place instanceof Place)) return undefined
    const { place } = owner
    return place.transactional && place.settings === this.settings ? place : undefined
  }

  private async recordsOf(rows: readonly OutboxRow[]): Promise<readonly NewRecord[]> {
    const records: NewRecord[] = []
    for (const { channel, envelope } of rows) {
      const { kind, name } = channel
      const partitions = this.topics.cached(name) ?? (await this.topics.partitions(topicName(name)))
      if (partitions === undefined) throw this.error('UNROUTABLE', `there is no ${kind} ${name}`, name)
      const problem = problemOf(channel, envelope, this.settings)
      if (problem !== undefined) throw problem
      const content = recordOf(envelope)
      records.push({ ...content, topic: name, partition: this.partitionFor(content.key, partitions) })
    }
    return records
  }

  private error(code: Code, message: string, channel?: string | undefined): FairleadError {
    return createError({ code, message, transport: this.settings.name, channel })
  }
}
