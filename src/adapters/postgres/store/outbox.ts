// The outbox of the PostgreSQL store. Every statement stands alone or in the caller's transaction, and leaves nothing in the session.
import type { OutboxStore, PartitionLease, RowVerdict } from '../../../core/contracts/store.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import { appendOneParams, appendParams, closingOf, deadOf, pendingOf } from './outbox-rows.ts'
import type { Session } from './session.ts'
import { numberOf, plain } from './values.ts'
import { wakeName } from './wake-name.ts'

const PAGE = 100

// Some hundredths of a second each.
const TUCK_ROWS = 10_000
const TUCK_ROUNDS = 3

const REDRIVE_ROWS = 1_000

/** The outbox in these tables. */
export function postgresOutbox<Tx>(session: Session<Tx>, archive: boolean): OutboxStore<Tx> {
  const { at, clock, driver } = session
  const sql = statements(at)
  const listen = driver.listen?.bind(driver)

  const count = async (text: string, params: readonly unknown[]): Promise<number> =>
    numberOf((await session.execute(text, params)).rows[0]?.['count'])

  // Rows of keys that wait for a dead one stand in the way of every read. It is a help: the next one who leases tries again.
  const tuck = async (): Promise<void> => {
    try {
      for (let rounds = 0; rounds < TUCK_ROUNDS; rounds++)
        if ((await count(sql.tuck, [TUCK_ROWS])) < TUCK_ROWS / 2) return
    } catch {
      // What is wrong with the database, whoever leases or reads is told.
    }
  }

  return {
    async append(tx, rows) {
      const [first] = rows
      if (first === undefined) return
      if (rows.length === 1) {
        await session.query(tx, sql.appendOne, appendOneParams(first))
        return
      }
      const batches = appendParams(rows)
      // All locks before the first number, also where several statements are needed.
      if (batches.length > 1)
        await session.query(tx, sql.lock, [
          batches.flatMap(([channels]) => channels),
          batches.flatMap(([, , keys]) => keys),
        ])
      for (const batch of batches) await session.query(tx, sql.append, batch)
    },
    closing: (rows) => (rows.length === 0 ? undefined : closingOf(at, rows)),
    async lease(relay, forMs) {
      durationOption('forMs', forMs, forMs)
      const askedAt = clock.now()
      const { rows } = await session.execute(sql.lease, [relay, forMs])
      await tuck()
      return rows.map(({ leased, leased_epoch, surplus }): PartitionLease => {
        const partition = numberOf(leased)
        const epoch = BigInt(String(leased_epoch))
        // As text: drivers differ in what they make of a boolean.
        return surplus === 'surplus'
          ? { partition, epoch, until: askedAt, surplus: true }
          : { partition, epoch, until: askedAt + forMs }
      })
    },
    async release(leases, relay) {
      if (leases.length === 0 && relay === undefined) return
      await session.execute(sql.release, [...leaseParams(leases), relay ?? null])
    },
    async pending(leases, limit) {
      if (leases.length === 0 || countOption('limit', limit, 0, 0) === 0) return []
      const { rows } = await session.execute(sql.pending, [...leaseParams(leases), limit])
      return rows.map(pendingOf)
    },
    async settle(leases, verdicts) {
      if (leases.length === 0 || verdicts.length === 0) return 0
      const published: string[] = []
      const others: Exclude<RowVerdict, { readonly verdict: 'published' }>[] = []
      for (const verdict of verdicts)
        if (verdict.verdict === 'published') published.push(String(verdict.sequence))
        else others.push(verdict)
      // Each lease that is named is locked.
      const of = leaseParams(leases)
      if (others.length === 0) return count(sql.published, [...of, published, archive])
      const aside = [...of, ...asideParams(others)]
      // With one commit: a verdict that is told again because another one was lost would count twice.
      return published.length === 0 ? count(sql.setAside, aside) : count(sql.both, [...aside, published, archive])
    },
    async stats() {
      const row = (await session.execute(sql.stats, [])).rows[0]
      return {
        backlog: numberOf(row?.['backlog']),
        dead: numberOf(row?.['dead']),
        blockedKeys: numberOf(row?.['blocked']),
        oldestMs: Math.max(numberOf(row?.['oldest_ms'] ?? 0), 0),
      }
    },
    async *dead(limit) {
      let left = countOption('limit', limit, 0, 0)
      let after: readonly unknown[] = [null, null]
      while (left > 0) {
        const { rows } = await session.execute(sql.dead, [Math.min(left, PAGE), ...after])
        for (const row of rows) yield deadOf(row)
        const last = rows.at(-1)
        if (last === undefined || rows.length < PAGE) return
        left -= rows.length
        after = [last['died'], String(last['seq'])]
      }
    },
    skip: async (ids) => (ids.length === 0 ? 0 : count(sql.skip, [ids.filter(isStored)])),
    async redrive(ids) {
      if (ids.length === 0) return 0
      let redriven = 0
      // All of them in pieces, from the oldest on, so that others get in between; what dies again meanwhile is not met twice.
      for (let after = '0'; ; ) {
        const params = [ids === 'all' ? null : ids.filter(isStored), after, REDRIVE_ROWS]
        const [row] = (await session.execute(sql.redrive, params)).rows
        const found = numberOf(row?.['redriven'])
        redriven += found
        if (ids !== 'all' || found < REDRIVE_ROWS) return redriven
        after = String(row?.['last_seq'])
      }
    },
    async purge({ olderThanMs, limit, dead = false }) {
      ageOption('olderThanMs', olderThanMs)
      return count(sql.purge, [olderThanMs, countOption('limit', limit, 0, 0), dead])
    },
    async announce() {
      await session.execute('select pg_notify($1::text, $2::text)', [wakeName(session.schema), ''])
    },
    ...(listen === undefined ? undefined : { listen: (wake) => listen(wakeName(session.schema), wake) }),
  }
}

// A text that PostgreSQL cannot hold names no row.
function isStored(id: string): boolean {
  return !id.includes('\0')
}

function leaseParams(leases: readonly PartitionLease[]): [parts: string[], epochs: string[]] {
  const parts: string[] = []
  const epochs: string[] = []
  for (const { partition, epoch } of leases) {
    parts.push(String(partition))
    epochs.push(String(epoch))
  }
  return [parts, epochs]
}

function asideParams(verdicts: readonly Exclude<RowVerdict, { readonly verdict: 'published' }>[]): unknown[] {
  const sequences: string[] = []
  const names: string[] = []
  const ms: string[] = []
  const reasons: string[] = []
  const blocks: string[] = []
  for (const verdict of verdicts) {
    sequences.push(String(verdict.sequence))
    names.push(verdict.verdict === 'retry' && verdict.counts === false ? 'wait' : verdict.verdict)
    ms.push(verdict.verdict === 'dead' ? '0' : String(durationOption('delayMs', verdict.delayMs, 0, 0)))
    reasons.push(verdict.verdict === 'hold' ? '' : plain(verdict.reason))
    blocks.push(String(verdict.verdict === 'dead' && verdict.blocksKey))
  }
  return [sequences, names, ms, reasons, blocks]
}

interface Statements {
  readonly lock: string
  readonly append: string
  readonly appendOne: string
  readonly lease: string
  readonly release: string
  readonly pending: string
  readonly tuck: string
  readonly published: string
  readonly setAside: string
  /** Both, in this order: first what may keep others waiting. */
  readonly both: string
  readonly stats: string
  readonly dead: string
  readonly skip: string
  readonly redrive: string
  readonly purge: string
}

function statements(at: string): Statements {
  const setAside = `${at}.outbox_set_aside($1::text[]::smallint[], $2::text[]::bigint[], $3::text[]::bigint[], $4::text[], $5::text[]::float8[], $6::text[], $7::text[]::boolean[])`
  return {
    lock: `select ${at}.outbox_lock($1::text[], $2::text[])`,
    append: `select ${at}.outbox_append($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]::int[], $6::bytea)`,
    appendOne: `select ${at}.outbox_append_one($1::text, $2::text, $3::text, $4::text, $5::bytea)`,
    lease: `select leased, leased_epoch, surplus from ${at}.outbox_lease_share($1::text, $2::float8)`,
    release: `select ${at}.outbox_release($1::text[]::smallint[], $2::text[]::bigint[], $3::text)`,
    pending: `select seq, part, attempts, channel, id, key, head, body from ${at}.outbox_pending($1::text[]::smallint[], $2::text[]::bigint[], $3::int)`,
    tuck: `select ${at}.outbox_tuck($1::int) as count`,
    published: `select ${at}.outbox_published($1::text[]::smallint[], $2::text[]::bigint[], $3::text[]::bigint[], $4::boolean) as count`,
    setAside: `select ${setAside} as count`,
    both: `select ${setAside} + ${at}.outbox_published($1::text[]::smallint[], $2::text[]::bigint[], $8::text[]::bigint[], $9::boolean) as count`,
    stats: `
select ((select count(*) from ${at}.outbox) + (select count(*) from ${at}.outbox_behind))::text as backlog,
  (select count(*) from ${at}.outbox_dead)::text as dead,
  (select count(distinct w.digest) from ${at}.outbox_wait w where w.blocks and w.until > clock_timestamp())::text as blocked,
  (select extract(epoch from clock_timestamp() - least(
    (select o.written_at from ${at}.outbox o order by o.seq limit 1), (select b.written_at from ${at}.outbox_behind b order by b.seq limit 1)
  ))::float8 * 1000) as oldest_ms`,
    dead: `
select d.seq, d.part, d.channel, d.id, d.key, d.head, d.body, d.attempts, d.reason, d.died_at::text as died,
  (extract(epoch from d.died_at) * 1000)::float8 as at
from ${at}.outbox_dead d
where $2::text is null or (d.died_at, d.seq) > ($2::text::timestamptz, $3::text::bigint)
order by d.died_at, d.seq limit $1::int`,
    skip: `select ${at}.outbox_skip($1::text[]) as count`,
    redrive: `select redriven, last_seq::text as last_seq from ${at}.outbox_redrive($1::text[], $2::text::bigint, $3::int)`,
    purge: `select ${at}.outbox_purge($1::float8, $2::int, $3::boolean) as count`,
  }
}
