// States of processes and of stored requests: JSON, compared and set by version.
import type { StateStore } from '../../../core/contracts/store.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import type { Ground } from './tables.ts'

const PAGE = 100

/** The states of a store. */
export function statesOf<Tx>({ tables, date, inside, alone, together }: Ground<Tx>): StateStore<Tx> {
  return {
    async load(tx, kind, id) {
      const { rows } = await inside(tx)(`select version, state from ${tables.state} where kind = ? and id = ?`, [
        kind,
        id,
      ])
      const row = rows[0]
      return row === undefined
        ? undefined
        : { version: row['version'] as number, state: JSON.parse(row['state'] as string) as unknown }
    },

    async find(tx, kind, correlation) {
      const { rows } = await inside(tx)(
        `select id from ${tables.correlation} where kind = ? and correlation = ? order by id limit 1`,
        [kind, correlation],
      )
      return rows[0]?.['id'] as string | undefined
    },

    async save(tx, kind, id, expected, state, options = {}) {
      const run = inside(tx)
      const { wakeAt, correlations = [], done = false } = options
      const json = JSON.stringify(state) as string | undefined
      if (json === undefined)
        throw createError({ code: 'INVALID_INPUT', message: `the state of ${kind} ${id} is no JSON: ${typeof state}` })
      const wake = done || wakeAt === undefined ? null : Math.ceil(wakeAt)
      const doneAt = done ? date() : null
      const since = done ? 'coalesce(iif(done = 1, done_at, null), ?)' : '?'
      const { affected } =
        expected === 0
          ? await run(
              `insert into ${tables.state} (kind, id, version, state, done, done_at, wake_at) values (?, ?, 1, ?, ?, ?, ?) on conflict do nothing`,
              [kind, id, json, done, doneAt, wake],
            )
          : await run(
              `update ${tables.state} set version = version + 1, state = ?, done = ?, done_at = ${since}, wake_at = ? where kind = ? and id = ? and version = ?`,
              [json, done, doneAt, wake, kind, id, expected],
            )
      if (affected === 0) return false
      if (!done && correlations === 'kept') return true
      if (expected > 0) await run(`delete from ${tables.correlation} where kind = ? and id = ?`, [kind, id])
      if (!done)
        for (const correlation of new Set(correlations))
          await run(`insert into ${tables.correlation} (kind, correlation, id) values (?, ?, ?)`, [
            kind,
            correlation,
            id,
          ])
      return true
    },

    async due(kind, now, limit) {
      const { rows } = await alone(
        `select id from ${tables.state} where kind = ? and wake_at is not null and wake_at <= ? order by wake_at, id limit ?`,
        [kind, Math.floor(now), countOption('limit', limit, 0, 0)],
      )
      return rows.map(({ id }) => id as string)
    },

    async *list(kind, limit, after) {
      let left = countOption('limit', limit, 0, 0)
      for (let last = after; left > 0; ) {
        const page = Math.min(left, PAGE)
        const { rows } = await alone(
          `select id, version, state, done from ${tables.state} where kind = ? and id > ? order by id limit ?`,
          [kind, last ?? '', page],
        )
        for (const { id, version, state, done } of rows) {
          last = id as string
          yield {
            id: last,
            version: version as number,
            state: JSON.parse(state as string) as unknown,
            done: done === 1,
          }
        }
        if (rows.length < page) return
        left -= rows.length
      }
    },

    async purge(kind, olderThanMs, limit) {
      const now = date()
      const before = now - ageOption('olderThanMs', olderThanMs)
      const most = countOption('limit', limit, 0, 0)
      return together(async (run) => {
        // A program of before this column does not say when: from now on then.
        await run(`update ${tables.state} set done_at = ? where kind = ? and done = 1 and done_at is null`, [now, kind])
        const { affected } = await run(
          `delete from ${tables.state} where kind = ? and done = 1 and id in
           (select id from ${tables.state} where kind = ? and done = 1 and done_at <= ? order by done_at limit ?)`,
          [kind, kind, before, most],
        )
        return affected
      })
    },
  }
}
