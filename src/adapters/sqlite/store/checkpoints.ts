// Positions of consumers, and the leases on them.
import type { CheckpointStore } from '../../../core/contracts/store.ts'
import { durationOption, invalidOption } from '../../../core/options.ts'
import { leaseLanes, releaseLanes } from './lanes.ts'
import type { Ground } from './tables.ts'

/** The checkpoints of a store. `save` is false as soon as the lane has another holder, or was released or given up. */
export function checkpointsOf<Tx>({ tables, clock, now, date, alone, together }: Ground<Tx>): CheckpointStore {
  return {
    async lease(consumer, member, lanes, forMs) {
      durationOption('forMs', forMs, forMs)
      if (consumer === '') throw invalidOption('consumer', consumer, 'give a name: the empty one is that of the outbox')
      const until = clock.now() + forMs
      const held = await together((run) => leaseLanes(run, tables, consumer, member, lanes, forMs, now()))
      return held.map((lane) => ({ ...lane, until }))
    },
    async release(consumer, leases) {
      if (leases.length > 0) await together((run) => releaseLanes(run, tables, consumer, leases))
    },
    async load(consumer, lane) {
      const { rows } = await alone(`select position from ${tables.lane} where consumer = ? and lane = ?`, [
        consumer,
        lane,
      ])
      const position = rows[0]?.['position']
      return typeof position === 'string' ? position : undefined
    },
    async save(consumer, { lane, epoch }, position) {
      const { affected } = await alone(
        `update ${tables.lane} set position = ?, saved_at = ? where consumer = ? and lane = ? and epoch = ? and member is not null`,
        [position, date(), consumer, lane, epoch],
      )
      return affected > 0
    },
  }
}
