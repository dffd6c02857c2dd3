// What becomes of rows that were read: all verdicts of a batch in one transaction, and none for rows whose partition has another holder by now.
import type { RowVerdict } from '../../../core/contracts/store.ts'
import { durationOption } from '../../../core/options.ts'
import type { Tables } from '../names.ts'
import { ROW_COLUMNS } from './rows.ts'
import { listOf, type Run } from './tables.ts'

const LISTED = 'seq in (select value from json_each(?))'
const HELD = '(? >> part) & 1'

/** When it is: by the machine, for what has to wait, and by the date. */
interface Time {
  readonly now: number
  readonly date: number
}

/** @returns how many were settled */
export async function settleRows(
  run: Run,
  tables: Tables,
  held: bigint,
  verdicts: readonly RowVerdict[],
  time: Time,
  archive: boolean,
): Promise<number> {
  const published = verdicts.filter(({ verdict }) => verdict === 'published').map(({ sequence }) => sequence)
  let settled = 0
  if (published.length > 0) {
    const list = listOf(published)
    if (archive)
      await run(
        `insert into ${tables.archive} (seq, kind, channel, id, key, head, body, attempts, added_at, published_at)
         select seq, kind, channel, id, key, head, body, attempts, added_at, ? from ${tables.outbox} where ${LISTED} and ${HELD} order by seq`,
        [time.date, list, held],
      )
    settled += (await run(`delete from ${tables.outbox} where ${LISTED} and ${HELD}`, [list, held])).affected
    // Not those of dead rows, which have no time; the low bits of a lane are its partition.
    await run(`delete from ${tables.block} where ${LISTED} and (? >> (lane & 63)) & 1 and until is not null`, [
      list,
      held,
    ])
  }
  for (const verdict of verdicts) if (await settleOther(run, tables, held, verdict, time)) settled++
  return settled
}

async function settleOther(
  run: Run,
  tables: Tables,
  held: bigint,
  verdict: RowVerdict,
  { now, date }: Time,
): Promise<boolean> {
  if (verdict.verdict === 'published') return false
  const { sequence } = verdict
  if (verdict.verdict === 'dead') return bury(run, tables, held, sequence, verdict.reason, verdict.blocksKey, date)
  const wait = Math.ceil(durationOption('delayMs', verdict.delayMs, 0, 0))
  const until = Math.ceil(now + wait)
  const failed = verdict.verdict === 'retry'
  const { rows } = await run(
    `update ${tables.outbox} set attempts = attempts + ?, until = ?, wait = ? where seq = ? and ${HELD} returning lane`,
    [failed && verdict.counts !== false ? 1 : 0, until, wait, sequence, held],
  )
  if (rows[0] === undefined) return false
  await unblock(run, tables, sequence)
  const { lane } = rows[0]
  if (failed && lane !== null) await block(run, tables, sequence, lane, until, wait)
  return true
}

async function bury(
  run: Run,
  tables: Tables,
  held: bigint,
  sequence: bigint,
  reason: string,
  blocksKey: boolean,
  date: number,
): Promise<boolean> {
  const { rows } = await run(
    `insert into ${tables.dead} (${ROW_COLUMNS}, attempts, reason, died_at)
     select ${ROW_COLUMNS}, attempts + 1, ?, ? from ${tables.outbox} where seq = ? and ${HELD} returning lane`,
    [reason.replaceAll('\0', '\u{FFFD}'), date, sequence, held],
  )
  if (rows[0] === undefined) return false
  await run(`delete from ${tables.outbox} where seq = ?`, [sequence])
  await unblock(run, tables, sequence)
  const { lane } = rows[0]
  if (blocksKey && lane !== null) await block(run, tables, sequence, lane, null, null)
  return true
}

function unblock(run: Run, tables: Tables, sequence: bigint): Promise<unknown> {
  return run(`delete from ${tables.block} where seq = ?`, [sequence])
}

function block(
  run: Run,
  tables: Tables,
  sequence: bigint,
  lane: unknown,
  until: number | null,
  wait: number | null,
): Promise<unknown> {
  return run(`insert into ${tables.block} (seq, lane, until, wait) values (?, ?, ?, ?)`, [sequence, lane, until, wait])
}
