// States of processes: compared and set by their version, found by what they wait for.
import type { StateStore } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import { literal } from '../literals.ts'
import { NOW_MS } from '../time.ts'
import { purgeByDigest } from './inbox.ts'
import type { Session } from './session.ts'
import { bytesOf, shortDigestOf, storable, textOf } from './values.ts'

const PAGE = 100
/** Dated by one purge at most. */
const UNDATED_ROWS = 10_000

/** The states in these tables. */
export function mysqlStates<Tx>(session: Session<Tx>): StateStore<Tx> {
  const { tables, query, read, write } = session
  const { state: states, state_correlation: correlated } = tables

  // Row by row by primary key: a delete of a range would lock the gaps around it, and with them the states of others.
  const correlate = async (tx: Tx, kind: string, digest: Buffer, wanted: readonly string[]): Promise<void> => {
    const names = new Map(
      wanted.map((text) => {
        const name = digestOf(kind, storable('a correlation', text))
        return [name.toString('hex'), name] as const
      }),
    )
    const { rows } = await query(tx, `select correlation from ${correlated} where state = ?`, [digest])
    const known = new Map(
      rows.map(({ correlation }) => {
        const name = Buffer.from(bytesOf(correlation))
        return [name.toString('hex'), name] as const
      }),
    )
    for (const [text, name] of known)
      if (!names.has(text))
        await query(tx, `delete from ${correlated} where state = ? and correlation = ?`, [digest, name])
    const added = [...names].filter(([text]) => !known.has(text)).sort(([a], [b]) => (a < b ? -1 : 1))
    if (added.length > 0)
      await query(
        tx,
        `insert ignore into ${correlated} (state, correlation) values ${added.map(([, name]) => `(${literal(digest)},${literal(name)})`).join(',')}`,
      )
  }

  return {
    async load(tx, kind, id) {
      const { rows } = await query(
        tx,
        `select version, cast(state as binary) as state from ${states} where digest = ?`,
        [nameOf(kind, id)],
      )
      const row = rows[0]
      return row === undefined
        ? undefined
        : { version: Number(row['version']), state: JSON.parse(textOf(row['state'])) as unknown }
    },
    async find(tx, kind, correlation) {
      const { rows } = await query(
        tx,
        `select cast(s.id as binary) as id from ${correlated} c straight_join ${states} s on s.digest = c.state where c.correlation = ? and s.done = 0 order by s.digest limit 1`,
        [digestOf(kind, storable('a correlation', correlation))],
      )
      return rows[0] === undefined ? undefined : textOf(rows[0]['id'])
    },
    async save(tx, kind, id, expected, state, { wakeAt, correlations = [], done = false } = {}) {
      const text = JSON.stringify(state) as string | undefined
      if (text === undefined)
        throw createError({ code: 'INVALID_INPUT', message: `the state of ${kind} ${id} is no JSON: ${typeof state}` })
      const digest = nameOf(kind, id)
      const wake = done || wakeAt === undefined ? null : wholeMs(wakeAt)
      const { affected } =
        expected === 0
          ? await query(
              tx,
              `insert ignore into ${states} (digest, kind_digest, kind, id, version, state, wake_ms, done, done_ms) values (?, ?, ?, ?, 1, ?, ?, ?, ${done ? NOW_MS : 'null'})`,
              [digest, shortDigestOf(kind), kind, id, text, wake, done],
            )
          : await query(
              tx,
              // In this order: an assignment sees what those before it have set.
              `update ${states} set version = version + 1, state = ?, wake_ms = ?, done_ms = ${done ? `coalesce(if(done = 1, done_ms, null), ${NOW_MS})` : 'null'}, done = ? where digest = ? and version = ?`,
              [text, wake, done, digest, expected],
            )
      if (affected === 0) return false
      if (done || correlations !== 'kept')
        await correlate(tx, kind, digest, done ? [] : (correlations as readonly string[]))
      return true
    },
    async due(kind, now, limit) {
      const { rows } = await read(
        `select cast(id as binary) as id from ${states} where kind_digest = ? and wake_ms <= ? order by wake_ms, id limit ${countOption('limit', limit, 0, 0)}`,
        [shortDigestOf(kind), Math.floor(now)],
      )
      return rows.map(({ id }) => textOf(id))
    },
    async *list(kind, limit, after) {
      let left = countOption('limit', limit, 0, 0)
      let last = after
      while (left > 0) {
        const { rows } = await read(
          `select cast(id as binary) as id, version, cast(state as binary) as state, done from ${states} where kind_digest = ?${last === undefined ? '' : ' and cast(id as binary) > ?'} order by cast(id as binary) limit ${Math.min(left, PAGE)}`,
          last === undefined ? [shortDigestOf(kind)] : [shortDigestOf(kind), Buffer.from(last, 'utf8')],
        )
        for (const { id, version, state, done } of rows)
          yield {
            id: textOf(id),
            version: Number(version),
            state: JSON.parse(textOf(state)) as unknown,
            done: Number(done) !== 0,
          }
        if (rows.length < PAGE) return
        left -= rows.length
        last = textOf(rows.at(-1)?.['id'])
      }
    },
    async purge(kind, olderThanMs, limit) {
      const before = `${NOW_MS} - ${Math.floor(ageOption('olderThanMs', olderThanMs))}`
      const most = countOption('limit', limit, 0, 0)
      const over = `kind_digest = ${literal(shortDigestOf(kind))} and done = 1 and done_ms`
      // What was done before there was this column, or by a program of before it: from now on then.
      await write(`update ${states} set done_ms = ${NOW_MS} where ${over} is null limit ${UNDATED_ROWS}`)
      return purgeByDigest(session, states, `${over} <= ${before}`, 'done_ms', most)
    },
  }
}

// Never early.
function wholeMs(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.ceil(ms), Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER) : 0
}

function nameOf(kind: string, id: string): Buffer {
  return digestOf(storable('the kind of a state', kind), storable('the id of a state', id))
}
