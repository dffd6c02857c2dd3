// Positions of consumers in PostgreSQL, and the leases on them. Time is that of the database, so that clocks of machines may differ.
import { type Clock, systemClock } from '../../core/clock.ts'
import type { CheckpointStore, LaneLease, SqlDriver, SqlResult } from '../../core/contracts/store.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { isFairleadError } from '../../errors/index.ts'
import type { SchemaOptions } from './migrate.ts'
import { DEFAULT_SCHEMA, identifier } from './names.ts'
import { notMigrated } from './not-migrated.ts'

/** Where checkpoints are kept. */
export interface PostgresCheckpointsOptions extends SchemaOptions {
  /** For `until` of the leases. */
  readonly clock?: Clock | undefined
}

/**
 * A `CheckpointStore` in PostgreSQL; `migrate(driver, { schema })` makes its tables.
 *
 * `lease` shares lanes evenly among the members that have asked within their `forMs` (they should all ask for the same lanes, and again
 * well before that): a member keeps what it holds up to its share, gives up the rest, and takes what is free or has run out, with an epoch of its own.
 * `until` is on the clock given here, measured from before the question, so it is never later than what the database goes by.
 * `save` is false as soon as the lane has another holder, or was released or given up.
 * @throws FairleadError `CHANNEL_NOT_FOUND` where the schema was not migrated, and what the database says
 * @example const checkpoints = postgresCheckpoints(pgDriver(pool))
 */
export function postgresCheckpoints<Tx>(
  driver: SqlDriver<Tx>,
  options: PostgresCheckpointsOptions = {},
): CheckpointStore {
  knownOptions('postgresCheckpoints', options, ['schema', 'clock'])
  if (driver?.dialect !== 'postgres') throw invalidOption('driver', driver, 'give a driver for PostgreSQL')
  const clock = options.clock ?? systemClock
  const schema = options.schema ?? DEFAULT_SCHEMA
  const name = identifier('schema', schema)

  const run = async (text: string, params: readonly unknown[]): Promise<SqlResult> => {
    try {
      return await driver.execute(text, params)
    } catch (error) {
      throw isFairleadError(error) ? notMigrated(error, schema) : error
    }
  }

  return {
    async lease(consumer, member, lanes, forMs) {
      durationOption('forMs', forMs, forMs)
      const until = clock.now() + forMs
      const { rows } = await run(`select * from ${name}.lease_lanes($1, $2, $3::text[], $4)`, [
        consumer,
        member,
        lanes,
        forMs,
      ])
      return rows.map(({ leased, leased_epoch }) => ({
        lane: String(leased),
        epoch: BigInt(String(leased_epoch)),
        until,
      }))
    },
    async release(consumer, leases) {
      if (leases.length === 0) return
      await run(`select ${name}.release_lanes($1, $2::text[], $3::bigint[])`, [
        consumer,
        leases.map(({ lane }) => lane),
        leases.map(({ epoch }) => String(epoch)),
      ])
    },
    async load(consumer, lane) {
      const { rows } = await run(`select position from ${name}.lane where consumer = $1 and lane = $2`, [
        consumer,
        lane,
      ])
      const position = rows[0]?.['position']
      return typeof position === 'string' ? position : undefined
    },
    async save(consumer, { lane, epoch }: LaneLease, position) {
      const { affected } = await run(
        `update ${name}.lane set position = $4, saved_at = clock_timestamp() where consumer = $1 and lane = $2 and epoch = $3 and member is not null`,
        [consumer, lane, String(epoch), position],
      )
      return affected > 0
    },
  }
}
