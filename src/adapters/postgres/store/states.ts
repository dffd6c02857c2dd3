// States of processes and stored requests, in PostgreSQL.
import type { SqlResult, StateStore } from '../../../core/contracts/store.ts'
import { digestOf } from '../../../core/digest.ts'
import { ageOption, countOption } from '../../../core/options.ts'
import { createError } from '../../../errors/index.ts'
import { answerOf, messageName } from './inbox.ts'
import type { Session } from './session.ts'
import { booleanOf, bytesLiteral, hexOf, numberOf, quoted, storable } from './values.ts'

const PAGE = 100

/** The states in these tables. */
export function postgresStates<Tx>(session: Session<Tx>): StateStore<Tx> {
  const { at } = session
  return {
    async load(tx, kind, id) {
      const { rows } = await session.query(
        tx,
        `select version, state from ${at}.state where kind = $1::text and name = $2::text::bytea`,
        [kind, nameOf(id)],
      )
      const row = rows[0]
      return row === undefined
        ? undefined
        : { version: numberOf(row['version']), state: JSON.parse(row['state'] as string) }
    },
    async find(tx, kind, correlation) {
      const { rows } = await session.query(
        tx,
        `select s.id from ${at}.state_correlation c join ${at}.state s on s.kind = c.kind and s.name = c.name
        where c.kind = $1::text and c.correlation = $2::text::bytea order by c.name limit 1`,
        [kind, nameOf(correlation)],
      )
      return rows[0]?.['id'] as string | undefined
    },
    claiming(consumer, message, kind, { id, correlation }) {
      const name = id === undefined ? 'null' : bytesLiteral(nameOf(id))
      const waited = correlation === undefined ? 'null' : bytesLiteral(nameOf(correlation))
      const claimed = bytesLiteral(messageName(consumer, message))
      return {
        statement: `select answer, id, version, state from ${at}.state_open(${claimed}, ${quoted(storable('the kind', kind))}, ${name}, ${waited})`,
        answers: ({ rows }) => [answerOf(rows[0]?.['answer'])],
        found: foundIn,
      }
    },
    async save(tx, kind, id, expected, state, { wakeAt, correlations = [], done = false } = {}) {
      const text = JSON.stringify(state) as string | undefined
      if (text === undefined)
        throw createError({ code: 'INVALID_INPUT', message: `the state of ${kind} ${id} is no JSON: ${typeof state}` })
      const { rows } = await session.query(
        tx,
        `select ${at}.state_save($1::text, $2::text::bytea, $3::text, $4::int, $5::text, $6::text::bigint, $7::text[]::bytea[], $8::boolean) as saved`,
        [
          storable('the kind', kind),
          nameOf(id),
          storable('the id', id),
          countOption('expected', expected, 0, 0),
          text,
          done || wakeAt === undefined ? null : String(Math.ceil(wakeAt)),
          done ? [] : correlations === 'kept' ? null : [...new Set(correlations.map(nameOf))],
          done,
        ],
      )
      return booleanOf(rows[0]?.['saved'])
    },
    async due(kind, now, limit) {
      const { rows } = await session.execute(
        `select id from ${at}.state where kind = $1::text and wake_at <= $2::text::bigint order by wake_at, id collate "C" limit $3::int`,
        [kind, String(Math.floor(now)), countOption('limit', limit, 0, 0)],
      )
      return rows.map(({ id }) => id as string)
    },
    async *list(kind, limit, after) {
      let left = countOption('limit', limit, 0, 0)
      let from = after
      while (left > 0) {
        const { rows } = await session.execute(
          `select id, version, state, done from ${at}.state
          where kind = $1::text and ($2::text is null or (left(id, 200) collate "C", id collate "C") > (left($2::text, 200), $2::text))
          order by left(id, 200) collate "C", id collate "C" limit $3::int`,
          [kind, from ?? null, Math.min(left, PAGE)],
        )
        for (const { id, version, state, done } of rows)
          yield {
            id: id as string,
            version: numberOf(version),
            state: JSON.parse(state as string) as unknown,
            done: booleanOf(done),
          }
        if (rows.length < PAGE) return
        left -= rows.length
        from = rows.at(-1)?.['id'] as string
      }
    },
    async purge(kind, olderThanMs, limit) {
      const { rows } = await session.execute(`select ${at}.state_purge($1::text, $2::float8, $3::int) as count`, [
        kind,
        ageOption('olderThanMs', olderThanMs),
        countOption('limit', limit, 0, 0),
      ])
      return numberOf(rows[0]?.['count'])
    },
  }
}

function foundIn({ rows: [row] }: SqlResult): { id: string; version: number; state: unknown } | undefined {
  const state = row?.['state'] as string | null | undefined
  if (state === null || state === undefined) return undefined
  return { id: row?.['id'] as string, version: numberOf(row?.['version']), state: JSON.parse(state) }
}

// Of ids and correlations.
function nameOf(text: string): string {
  return hexOf(digestOf(text))
}
