// What becomes of rows that a relay has tried. The partitions are locked against being leased anew while their rows are touched.
import type { PartitionLease, RowVerdict } from '../../../core/contracts/store.ts'
import { durationOption } from '../../../core/options.ts'
import type { Run } from '../driver.ts'
import { literal } from '../literals.ts'
import { NOW_MS } from '../time.ts'
import { SHARED_COLUMNS } from './outbox-rows.ts'
import type { Session } from './session.ts'
import { bigintOf, numbersOf } from './values.ts'

type Verdict<V extends RowVerdict['verdict']> = RowVerdict & { readonly verdict: V }

/** `settle` of an outbox in these tables. */
export function settleOutbox<Tx>(
  { tables, own }: Session<Tx>,
  archive: boolean,
): (leases: readonly PartitionLease[], verdicts: readonly RowVerdict[]) => Promise<number> {
  const {
    outbox,
    outbox_archive: archived,
    outbox_dead: dead,
    outbox_block: block,
    outbox_partition: partition,
  } = tables
  const among = (sequences: Iterable<bigint>) =>
    `${numbersOf(sequences)} straight_join ${outbox} o force index (primary) on o.sequence = w.n`

  const current = async (run: Run, leases: readonly PartitionLease[]): Promise<readonly number[]> => {
    const epochs = new Map(leases.map(({ partition, epoch }) => [partition, epoch]))
    // All who lock some of these rows do so in the order of the numbers.
    const { rows } = await run(
      `select p.partition_no, p.epoch from ${partition} p force index (primary) where p.partition_no in (${[...epochs.keys()].sort((a, b) => a - b).join(',')}) and p.relay is not null order by p.partition_no lock in share mode`,
    )
    return rows.flatMap(({ partition_no: number, epoch }) =>
      epochs.get(Number(number)) === bigintOf(epoch) ? [Number(number)] : [],
    )
  }
  const unblock = async (run: Run, sequences: readonly bigint[]): Promise<void> => {
    const { rows } = await run(
      `select b.sequence from ${numbersOf(sequences)} straight_join ${block} b force index (primary) on b.sequence = w.n`,
    )
    if (rows.length > 0)
      await run(
        `delete b from ${numbersOf(rows.map(({ sequence }) => bigintOf(sequence)))} straight_join ${block} b force index (primary) on b.sequence = w.n`,
      )
  }
  const published = async (run: Run, sequences: readonly bigint[]): Promise<void> => {
    if (archive)
      await run(
        `insert into ${archived} (${SHARED_COLUMNS}, published_ms) select ${columnsOf('o')}, ${NOW_MS} from ${among(sequences)}`,
      )
    await run(`delete o from ${among(sequences)}`)
  }
  const postponed = async (run: Run, verdicts: readonly Verdict<'retry' | 'hold'>[]): Promise<void> => {
    const whens = verdicts.map(
      ({ sequence, delayMs }) => `when ${sequence} then ${Math.ceil(durationOption('delayMs', delayMs, 0, 0))}`,
    )
    const wait = `case o.sequence ${whens.join(' ')} end`
    const retries = verdicts.filter(({ verdict }) => verdict === 'retry').map(({ sequence }) => sequence)
    const counted = verdicts.filter(isCounted).map(({ sequence }) => sequence)
    await run(
      `update ${among(verdicts.map(({ sequence }) => sequence))} set o.due_ms = ${NOW_MS} + ${wait}, o.wait_ms = ${wait}${counted.length === 0 ? '' : `, o.attempts = o.attempts + if(o.sequence in (${counted.join(',')}), 1, 0)`}`,
    )
    if (retries.length > 0)
      await run(
        `insert into ${block} (sequence, lane, until_ms, wait_ms) select o.sequence, o.lane, o.due_ms, o.wait_ms from ${among(retries)} where o.lane is not null`,
      )
  }
  const buried = async (run: Run, verdicts: readonly Verdict<'dead'>[]): Promise<void> => {
    for (const { sequence, reason, blocksKey } of verdicts) {
      await run(
        `insert into ${dead} (${SHARED_COLUMNS}, reason, blocks_key, died_ms) select ${columnsOf('o')} + 1, ${literal(reason)}, ${blocksKey ? 1 : 0}, ${NOW_MS} from ${among([sequence])}`,
      )
      if (blocksKey)
        await run(
          `insert into ${block} (sequence, lane, until_ms) select o.sequence, o.lane, null from ${among([sequence])} where o.lane is not null`,
        )
    }
    await run(`delete o from ${among(verdicts.map(({ sequence }) => sequence))}`)
  }

  return (leases, verdicts) =>
    own(async (run) => {
      const held = await current(run, leases)
      if (held.length === 0) return 0
      // The last verdict on a row counts.
      const wanted = new Map(verdicts.map((verdict) => [verdict.sequence, verdict]))
      const { rows } = await run(
        `select o.sequence from ${among([...wanted.keys()].sort(byValue))} where o.partition_no in (${held.join(',')}) for update`,
      )
      const mine = rows.map(({ sequence }) => wanted.get(bigintOf(sequence)) as RowVerdict)
      if (mine.length === 0) return 0
      await unblock(
        run,
        mine.map(({ sequence }) => sequence),
      )
      const done = mine.filter(({ verdict }) => verdict === 'published')
      const later = mine.filter(isLater)
      const given = mine.filter(isDead)
      if (done.length > 0)
        await published(
          run,
          done.map(({ sequence }) => sequence),
        )
      if (later.length > 0) await postponed(run, later)
      if (given.length > 0) await buried(run, given)
      return mine.length
    })
}

function columnsOf(table: string): string {
  return SHARED_COLUMNS.split(', ')
    .map((column) => `${table}.${column}`)
    .join(', ')
}

function byValue(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function isLater(verdict: RowVerdict): verdict is Verdict<'retry' | 'hold'> {
  return verdict.verdict === 'retry' || verdict.verdict === 'hold'
}

function isCounted(verdict: RowVerdict): boolean {
  return verdict.verdict === 'retry' && verdict.counts !== false
}

function isDead(verdict: RowVerdict): verdict is Verdict<'dead'> {
  return verdict.verdict === 'dead'
}
