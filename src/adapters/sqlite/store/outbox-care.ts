// Looking after an outbox: figures, dead rows, and what people decide about them.
import type { DeadRow, OutboxStore } from '../../../core/contracts/store.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { ROW_COLUMNS, rowOf } from './rows.ts'
import type { Ground, Run } from './tables.ts'

/** The part of an outbox that no relay needs. */
export type OutboxCare<Tx> = Pick<OutboxStore<Tx>, 'stats' | 'dead' | 'skip' | 'redrive' | 'purge'>

const PAGE = 100
const REDRIVE_ROWS = 1_000
const NAMED = 'id in (select value from json_each(?))'

/** The care of an outbox. */
export function outboxCare<Tx>({ tables, now, date, alone, together }: Ground<Tx>): OutboxCare<Tx> {
  const forget = (run: Run, from: string, where: string, params: readonly unknown[]): Promise<unknown> =>
    run(`delete from ${tables.block} where seq in (select seq from ${from} where ${where})`, params)

  return {
    async stats() {
      const at = date()
      const { rows } = await alone(
        `select (select count(*) from ${tables.outbox}) as backlog, (select count(*) from ${tables.dead}) as dead,
         (select count(distinct lane) from ${tables.block} where until is null or until > ?) as blocked,
         (select added_at from ${tables.outbox} order by seq limit 1) as oldest`,
        [now()],
      )
      const { backlog, dead, blocked, oldest } = rows[0] as Readonly<Record<string, number | null>>
      return {
        backlog: Number(backlog),
        dead: Number(dead),
        blockedKeys: Number(blocked),
        oldestMs: oldest === null || oldest === undefined ? 0 : Math.max(at - oldest, 0),
      }
    },

    async *dead(limit) {
      let left = countOption('limit', limit, 0, 0)
      for (let at = -1, after = 0n; left > 0; ) {
        const { rows } = await alone(
          `select ${ROW_COLUMNS}, attempts, reason, died_at from ${tables.dead} where (died_at, seq) > (?, ?) order by died_at, seq limit ?`,
          [at, after, Math.min(left, PAGE)],
        )
        for (const row of rows) {
          const dead: DeadRow = { ...rowOf(row), reason: row['reason'] as string, at: row['died_at'] as number }
          at = dead.at
          after = dead.sequence
          yield dead
        }
        if (rows.length < Math.min(left, PAGE)) return
        left -= rows.length
      }
    },

    async skip(ids) {
      if (ids.length === 0) return 0
      const named = JSON.stringify(ids)
      return together(async (run) => {
        let skipped = 0
        for (const table of [tables.dead, tables.outbox]) {
          await forget(run, table, NAMED, [named])
          skipped += (await run(`delete from ${table} where ${NAMED}`, [named])).affected
        }
        return skipped
      })
    },

    async redrive(ids) {
      const some = (where: string, params: readonly unknown[]): Promise<number> =>
        together(async (run) => {
          await run(
            `insert into ${tables.outbox} (${ROW_COLUMNS}) select ${ROW_COLUMNS} from ${tables.dead} where ${where} order by seq`,
            params,
          )
          await forget(run, tables.dead, where, params)
          return (await run(`delete from ${tables.dead} where ${where}`, params)).affected
        })
      if (ids !== 'all') return some(NAMED, [JSON.stringify(ids)])
      // In pieces, from the oldest on, so that others get in between; what dies again meanwhile is not met twice.
      let redriven = 0
      for (let after: unknown = -1; ; ) {
        const { rows } = await alone(
          `select max(seq) as last from (select seq from ${tables.dead} where seq > ? order by seq limit ${REDRIVE_ROWS})`,
          [after],
        )
        const last = rows[0]?.['last'] ?? null
        if (last === null) return redriven
        redriven += await some('seq > ? and seq <= ?', [after, last])
        after = last
      }
    },

    async purge({ olderThanMs, limit, dead = false }) {
      const before = date() - ageOption('olderThanMs', olderThanMs)
      const most = countOption('limit', limit, 0, 0)
      if (!dead)
        return (
          await alone(
            `delete from ${tables.archive} where n in (select n from ${tables.archive} order by n limit ?) and published_at <= ?`,
            [most, before],
          )
        ).affected
      const oldest = `seq in (select seq from ${tables.dead} where died_at <= ? order by died_at, seq limit ?)`
      return together(async (run) => {
        await forget(run, tables.dead, oldest, [before, most])
        return (await run(`delete from ${tables.dead} where ${oldest}`, [before, most])).affected
      })
    },
  }
}
