// The inbox of the MySQL store: a row per message and consumer, written in the handler's transaction.
import type { InboxStore, MessageIdentity } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption, durationOption } from '../../../core/options.ts'
import { literal } from '../literals.ts'
import { isAhead, NOW_MS } from '../time.ts'
import { insertWithoutWaiting } from './reserve.ts'
import type { Session } from './session.ts'
import { bytesOf, storable } from './values.ts'

type Claim = 'first' | 'duplicate' | 'busy'

interface Named {
  readonly digest: Buffer
  readonly values: string
}

const SAVEPOINT = 'fairlead_claim'
const BATCH = 200

/** The inbox in these tables. */
export function mysqlInbox<Tx>(session: Session<Tx>, retentionMs: number): InboxStore<Tx> {
  const { tables, read, write, own, query } = session
  const { inbox, inbox_attempt: attempts, inbox_parked: parked } = tables
  const insert = insertWithoutWaiting(session)

  const claimAll = (tx: Tx, rows: readonly Named[]): Promise<number | 'busy'> =>
    insert(
      tx,
      `${inbox} (digest, consumer, message_id, claimed_ms) values ${rows.map(({ values }) => values).join(',')}`,
    )

  // One by one, by digest: all do so in one order.
  const claimEach = async (tx: Tx, rows: readonly Named[], answers: Map<string, Claim>): Promise<void> => {
    for (const row of rows) {
      const inserted = await claimAll(tx, [row])
      answers.set(nameOf(row), inserted === 'busy' ? 'busy' : inserted === 1 ? 'first' : 'duplicate')
    }
  }

  return {
    retentionMs,
    async claim(tx, consumer, messages) {
      if (messages.length === 0) return []
      const names = messages.map((message) => identify(consumer, message))
      const rows = [...new Map(names.map((row) => [nameOf(row), row])).values()].sort((a, b) =>
        Buffer.compare(a.digest, b.digest),
      )
      const answers = new Map<string, Claim>()
      if (rows.length === 1) await claimEach(tx, rows, answers)
      else {
        for (let from = 0; from < rows.length; from += BATCH) {
          const batch = rows.slice(from, from + BATCH)
          await query(tx, `savepoint ${SAVEPOINT}`)
          if ((await claimAll(tx, batch)) === batch.length) for (const row of batch) answers.set(nameOf(row), 'first')
          else {
            // Some are not new, and the database does not say which.
            await query(tx, `rollback to savepoint ${SAVEPOINT}`)
            await claimEach(tx, batch, answers)
          }
        }
      }
      const seen = new Set<string>()
      return names.map((row) => {
        const name = nameOf(row)
        const answer = answers.get(name) as Claim
        if (answer !== 'first' || !seen.has(name)) {
          seen.add(name)
          return answer
        }
        return 'duplicate'
      })
    },
    async started(consumer, message) {
      const { digest } = identify(consumer, message)
      return own(async (run) => {
        await run(
          `insert into ${attempts} (digest, started, at_ms) values (?, 1, ${NOW_MS}) on duplicate key update started = started + 1, at_ms = values(at_ms)`,
          [digest],
        )
        const { rows } = await run(`select started from ${attempts} where digest = ?`, [digest])
        return Number(rows[0]?.['started'])
      })
    },
    async finished(consumer, message) {
      const { digest } = identify(consumer, message)
      await own(async (run) => {
        const { rows } = await run(`select started from ${attempts} where digest = ? for update`, [digest])
        const started = Number(rows[0]?.['started'] ?? 0)
        if (started > 1) await run(`update ${attempts} set started = started - 1 where digest = ?`, [digest])
        else if (started === 1) await run(`delete from ${attempts} where digest = ?`, [digest])
      })
    },
    async park(consumer, key, forMs) {
      const wait = Math.ceil(durationOption('forMs', forMs, forMs))
      await write(
        `insert into ${parked} (digest, wait_ms, until_ms) values (?, ?, ${NOW_MS} + ?) on duplicate key update wait_ms = values(wait_ms), until_ms = values(until_ms)`,
        [keyOf(consumer, key), wait, wait],
      )
    },
    async unpark(consumer, key) {
      await write(`delete from ${parked} where digest = ?`, [keyOf(consumer, key)])
    },
    async parked(consumer, keys) {
      const all = [...new Set(keys)]
      if (all.length === 0) return []
      const { rows } = await read(
        `select digest from ${parked} where digest in (${all.map((key) => literal(keyOf(consumer, key))).join(',')}) and ${isAhead('until_ms', 'wait_ms')}`,
      )
      const found = new Set(rows.map(({ digest }) => Buffer.from(bytesOf(digest)).toString('hex')))
      return all.filter((key) => found.has(keyOf(consumer, key).toString('hex')))
    },
    async purge(olderThanMs, limit) {
      const before = `${NOW_MS} - ${Math.floor(ageOption('olderThanMs', olderThanMs))}`
      const most = countOption('limit', limit, 0, 0)
      await sweep(attempts, `at_ms <= ${before}`, 'at_ms', most)
      await sweep(parked, `until_ms <= ${NOW_MS}`, 'until_ms', most)
      await sweep(parked, `until_ms > ${NOW_MS} + wait_ms + 1000`, 'until_ms', most)
      return sweep(inbox, `claimed_ms <= ${before}`, 'claimed_ms', most)
    },
  }

  function sweep(table: string, which: string, by: string, limit: number): Promise<number> {
    return purgeByDigest(session, table, which, by, limit)
  }
}

/** Deletes rows, oldest first: found without locks, then deleted by primary key. Returns how many there were. */
export async function purgeByDigest<Tx>(
  { read, write }: Session<Tx>,
  table: string,
  which: string,
  by: string,
  limit: number,
): Promise<number> {
  let count = 0
  for (let left = limit; left > 0; ) {
    const { rows } = await read(
      `select digest from ${table} where ${which} order by ${by} limit ${Math.min(left, 1_000)}`,
    )
    if (rows.length === 0) break
    const digests = rows.map(({ digest }) => Buffer.from(bytesOf(digest))).sort(Buffer.compare)
    const { affected } = await write(
      `delete t from ${table} t force index (primary) where t.digest in (${digests.map(literal).join(',')}) and t.${which}`,
    )
    count += affected
    left -= rows.length
    if (rows.length < 1_000) break
  }
  return count
}

function identify(consumer: string, { source, id }: MessageIdentity): Named {
  const digest = digestOf(
    storable('the name of a consumer', consumer),
    storable('the source of a message', source),
    storable('the id of a message', id),
  )
  return { digest, values: `(${literal(digest)},${literal(consumer)},${literal(id)},${NOW_MS})` }
}

function nameOf({ digest }: Named): string {
  return digest.toString('latin1')
}

function keyOf(consumer: string, key: string): Buffer {
  return digestOf(storable('the name of a consumer', consumer), storable('the key of a message', key))
}
