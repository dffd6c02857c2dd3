// The inbox: a message is noted in the transaction that applies it, so that it is applied once.
import type { InboxStore } from '../../../core/contracts/store.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import { type Ground, VOID } from './tables.ts'

/** The inbox of a store. Nothing is ever `busy`: one connection writes at a time, so another delivery of the message has ended before its transaction begins. */
export function inboxOf<Tx>(
  { tables, now, date, inside, alone, together }: Ground<Tx>,
  retentionMs: number,
): InboxStore<Tx> {
  const claim = `insert into ${tables.inbox} (consumer, source, id, at) values (?, ?, ?, ?) on conflict do nothing`
  return {
    retentionMs,

    async claim(tx, consumer, messages) {
      const run = inside(tx)
      const at = date()
      const answers: ('first' | 'duplicate')[] = []
      for (const { source, id } of messages) {
        const { affected } = await run(claim, [consumer, source, id, at])
        answers.push(affected === 1 ? 'first' : 'duplicate')
      }
      return answers
    },

    async started(consumer, { source, id }) {
      const { rows } = await alone(
        `insert into ${tables.attempt} (consumer, source, id, open, at) values (?, ?, ?, 1, ?)
         on conflict do update set open = open + 1, at = excluded.at returning open`,
        [consumer, source, id, date()],
      )
      return rows[0]?.['open'] as number
    },

    async finished(consumer, { source, id }) {
      await together(async (run) => {
        const { rows } = await run(
          `update ${tables.attempt} set open = open - 1 where consumer = ? and source = ? and id = ? returning n, open`,
          [consumer, source, id],
        )
        if (rows[0] !== undefined && Number(rows[0]['open']) <= 0)
          await run(`delete from ${tables.attempt} where n = ?`, [rows[0]['n']])
      })
    },

    async park(consumer, key, forMs) {
      durationOption('forMs', forMs, forMs)
      await alone(
        `insert into ${tables.parked} (consumer, key, until, wait) values (?, ?, ?, ?)
         on conflict do update set until = excluded.until, wait = excluded.wait`,
        [consumer, key, Math.ceil(now() + forMs), Math.ceil(forMs)],
      )
    },

    async unpark(consumer, key) {
      await alone(`delete from ${tables.parked} where consumer = ? and key = ?`, [consumer, key])
    },

    async parked(consumer, keys) {
      if (keys.length === 0) return []
      const at = now()
      const { rows } = await alone(
        `select key from ${tables.parked} where consumer = ? and key in (select value from json_each(?)) and until > ? and not (${VOID})`,
        [consumer, JSON.stringify(keys), at, at],
      )
      const found = new Set(rows.map(({ key }) => key))
      return [...new Set(keys)].filter((key) => found.has(key))
    },

    async purge(olderThanMs, limit) {
      const before = date() - ageOption('olderThanMs', olderThanMs)
      const most = countOption('limit', limit, 0, 0)
      return together(async (run) => {
        const oldest = (table: string): string =>
          `delete from ${table} where n in (select n from ${table} order by n limit ?) and at <= ?`
        const { affected } = await run(oldest(tables.inbox), [most, before])
        await run(oldest(tables.attempt), [most, before])
        await run(`delete from ${tables.parked} where until <= ? or ${VOID}`, [now(), now()])
        return affected
      })
    },
  }
}
