// What those on call do with an outbox: look, give up, try again, clean up.
import type { OutboxStore } from '../../../core/contracts/store.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import type { Run } from '../driver.ts'
import { literal } from '../literals.ts'
import type { TableName } from '../names.ts'
import { isAhead, NOW_MS } from '../time.ts'
import { deadOf, INSERT_COLUMNS, READ_COLUMNS } from './outbox-rows.ts'
import type { Session } from './session.ts'
import { bigintOf, numbersOf, textOf } from './values.ts'

const PAGE = 100
const BATCH = 500

type Care = Pick<OutboxStore<never>, 'stats' | 'dead' | 'skip' | 'redrive' | 'purge'>

/** Looking after the outbox in these tables. */
export function outboxCare<Tx>({ tables, read, own }: Session<Tx>): Care {
  const { outbox, outbox_dead: dead, outbox_archive: archived, outbox_block: block } = tables

  const remove = async (run: Run, table: TableName, sequences: readonly bigint[]): Promise<number> => {
    if (sequences.length === 0) return 0
    const { affected } = await run(
      `delete t from ${numbersOf(sequences)} straight_join ${tables[table]} t force index (primary) on t.sequence = w.n`,
    )
    return affected
  }
  const forget = async (run: Run, table: TableName, sequences: readonly bigint[]): Promise<number> => {
    const count = await remove(run, table, sequences)
    const { rows } = await run(
      `select b.sequence from ${numbersOf(sequences)} straight_join ${block} b force index (primary) on b.sequence = w.n`,
    )
    await remove(
      run,
      'outbox_block',
      rows.map(({ sequence }) => bigintOf(sequence)),
    )
    return count
  }
  const named = async (table: string, ids: readonly string[]): Promise<readonly bigint[]> => {
    const wanted = new Set(ids)
    const found: bigint[] = []
    for (let from = 0; from < ids.length; from += BATCH) {
      const list = ids.slice(from, from + BATCH)
      const { rows } = await read(
        `select o.sequence, cast(o.message_id as binary) as message_id from ${table} o where o.message_id in (${list.map(literal).join(',')})`,
      )
      // Texts that differ in blanks at their end are the same to the database.
      for (const row of rows) if (wanted.has(textOf(row['message_id']))) found.push(bigintOf(row['sequence']))
    }
    return [...new Set(found)].sort((a, b) => (a < b ? -1 : 1))
  }
  const inBatches = async (
    sequences: readonly bigint[],
    work: (run: Run, batch: readonly bigint[]) => Promise<number>,
  ): Promise<number> => {
    let count = 0
    for (let from = 0; from < sequences.length; from += BATCH)
      count += await own((run) => work(run, sequences.slice(from, from + BATCH)))
    return count
  }

  return {
    async stats() {
      const { rows } = await read(
        `select (select count(*) from ${outbox}) as backlog, (select count(*) from ${dead}) as dead,
  (select count(distinct b.lane) from ${block} b where b.until_ms is null or ${isAhead('b.until_ms', 'b.wait_ms')}) as blocked,
  (select ${NOW_MS} - o.created_ms from ${outbox} o order by o.sequence limit 1) as oldest_ms`,
      )
      const row = rows[0] ?? {}
      return {
        backlog: Number(row['backlog']),
        dead: Number(row['dead']),
        blockedKeys: Number(row['blocked']),
        oldestMs: Math.max(Number(row['oldest_ms'] ?? 0), 0),
      }
    },
    async *dead(limit) {
      let left = countOption('limit', limit, 0, 0)
      let after = ''
      while (left > 0) {
        const { rows } = await read(
          `select ${READ_COLUMNS}, cast(o.reason as binary) as reason, o.died_ms from ${dead} o ${after} order by o.died_ms, o.sequence limit ${Math.min(left, PAGE)}`,
        )
        for (const row of rows) yield deadOf(row)
        const last = rows.at(-1)
        if (last === undefined || rows.length < PAGE) return
        left -= rows.length
        after = `where o.died_ms > ${last['died_ms']} or (o.died_ms = ${last['died_ms']} and o.sequence > ${last['sequence']})`
      }
    },
    async skip(ids) {
      const waiting = await inBatches(await named(outbox, ids), (run, batch) => forget(run, 'outbox', batch))
      return waiting + (await inBatches(await named(dead, ids), (run, batch) => forget(run, 'outbox_dead', batch)))
    },
    async redrive(ids) {
      const sequences =
        ids === 'all'
          ? (await read(`select o.sequence from ${dead} o order by o.sequence`)).rows.map((row) =>
              bigintOf(row['sequence']),
            )
          : await named(dead, ids)
      return inBatches(sequences, async (run, batch) => {
        // Two at once must not both put it back.
        const { rows } = await run(
          `select o.sequence from ${numbersOf(batch)} straight_join ${dead} o force index (primary) on o.sequence = w.n for update`,
        )
        const mine = rows.map((row) => bigintOf(row['sequence']))
        if (mine.length === 0) return 0
        await run(
          `insert into ${outbox} (sequence, ${INSERT_COLUMNS}) select o.sequence, ${INSERT_COLUMNS.split(', ')
            .map((column) => `o.${column}`)
            .join(', ')} from ${numbersOf(mine)} straight_join ${dead} o force index (primary) on o.sequence = w.n`,
        )
        return forget(run, 'outbox_dead', mine)
      })
    },
    async purge({ olderThanMs, limit, dead: ofDead = false }) {
      const [table, since] = ofDead
        ? (['outbox_dead', 'died_ms'] as const)
        : (['outbox_archive', 'published_ms'] as const)
      const { rows } = await read(
        `select o.sequence from ${ofDead ? dead : archived} o where o.${since} <= ${NOW_MS} - ${Math.floor(ageOption('olderThanMs', olderThanMs))} order by o.${since}, o.sequence limit ${countOption('limit', limit, 0, 0)}`,
      )
      return inBatches(
        rows.map((row) => bigintOf(row['sequence'])),
        (run, batch) => (ofDead ? forget(run, table, batch) : remove(run, table, batch)),
      )
    },
  }
}
