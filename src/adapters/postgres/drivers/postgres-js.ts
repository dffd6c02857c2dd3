// fairlead over postgres.js. Rows are taken raw and read with our own parsers: types and transforms that the program has set change nothing of what we read.
import type { SqlResult } from '../../../core/contracts/store.ts'
import { invalidOption } from '../../../core/options.ts'
import { classifyPostgres, sqlStateOf } from '../classify-postgres.ts'
import { required } from '../pg-client.ts'
import { RESULT_TYPES } from '../result-types.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'

/** What is used of postgres.js, by shape. */
export interface PostgresJsSql {
  unsafe(query: string, parameters?: any, options?: any): any
  readonly begin: (...args: any[]) => Promise<any>
  listen(
    channel: string,
    onNotify: (payload: string) => void,
    onListen?: () => void,
  ): Promise<{ unlisten(): Promise<void> }>
}

/** The transaction type of a postgres.js instance: `TransactionSql`. */
export type PostgresJsTx<S> = S extends {
  readonly begin: { (work: (tx: infer Tx) => any): any; (options: any, work: any): any }
}
  ? Tx
  : never

/** How postgres.js is used; `listener` is not needed, it listens itself. */
export type PostgresJsDriverOptions = Omit<
  PostgresDriverOptions,
  'listener' | 'heartbeatMs' | 'onListenState' | 'random'
>

/**
 * Speaks through postgres.js (3.4 or later). A failed statement fails its transaction even if its error is swallowed, as postgres.js has it:
 * the error itself comes out.
 *
 * A transaction of your own (`sql.begin`) is asked for with each statement whether it is still open: one round trip more.
 * @example const driver = postgresJsDriver(postgres(url))
 */
export function postgresJsDriver<S extends PostgresJsSql>(
  sql: S,
  options: PostgresJsDriverOptions = {},
): PostgresDriver<PostgresJsTx<S>> {
  if (typeof sql?.begin !== 'function' || typeof sql.unsafe !== 'function')
    throw invalidOption('sql', sql, 'give what postgres() of postgres.js gave')
  const own = waysOf(sql)
  type Tx = PostgresJsTx<S> & PostgresJsQueries
  return createPreset<Tx>(
    {
      name: 'postgresJsDriver',
      begin: (work) => sql.begin(work),
      isOpen: isPostgresJsTx,
      run: (tx, text, params) => runPostgresJs(tx, text, params, own),
      runAlone: (text, params) => runPostgresJs(sql, text, params, own),
      verify: verifyPostgresJs,
      endsEarly: true,
      listen: listenPostgresJs(sql),
    },
    options,
  ) as PostgresDriver<PostgresJsTx<S>>
}

/** A statement that can be run on it: what instance and transaction share. */
export interface PostgresJsQueries {
  unsafe(query: string, parameters?: any, options?: any): any
}

interface Raw {
  raw(): Promise<RawResult | readonly RawResult[]>
}
interface RawResult extends ReadonlyArray<readonly (Buffer | null)[]> {
  readonly columns?: readonly { readonly name: string; readonly type: number }[]
  readonly count: number | null
  readonly command?: string | null
}

/** Only a transaction has savepoints; whether it is over, it does not tell. */
export function isPostgresJsTx(candidate: object): boolean {
  const { savepoint, begin, unsafe } = candidate as Readonly<Record<string, unknown>>
  return typeof savepoint === 'function' && typeof unsafe === 'function' && begin === undefined
}

/** SAVEPOINT is refused outside of a transaction (25P01). A stale transaction would run its statements on a connection that may be anybody's by now. */
export async function verifyPostgresJs(tx: PostgresJsQueries): Promise<void> {
  try {
    await tx.unsafe('savepoint fairlead_open; release savepoint fairlead_open')
  } catch (error) {
    throw sqlStateOf(error) === '25P01' ? required() : error
  }
}

/** How an instance changes what goes through it. */
export interface Ways {
  /** Gives a column the name that the statement gave it. */
  originalName(name: string): string
  /** JSON goes as it is given: so Drizzle has set it. */
  jsonAsText(): boolean
}

/** Runs a statement, or several without parameters. */
export async function runPostgresJs(
  on: PostgresJsQueries,
  text: string,
  params: readonly unknown[],
  own: Ways,
): Promise<SqlResult> {
  const asText = own.jsonAsText()
  const pending = (
    params.length === 0
      ? on.unsafe(text)
      : on.unsafe(
          text,
          params.map((value) => parameter(value, asText)),
        )
  ) as Raw
  const answer = await pending.raw()
  // Of several statements it is a list of results, and a result is a list of rows.
  const result = (isResult(answer) ? answer : answer.at(-1)) as RawResult | undefined
  if (result === undefined) return { rows: [], affected: 0 }
  const columns = (result.columns ?? []).map(({ name, type }) => ({
    name: own.originalName(name),
    parse: RESULT_TYPES.getTypeParser(type),
  }))
  const rows = Array.from(result, (cells) => {
    const row: Record<string, unknown> = {}
    columns.forEach(({ name, parse }, at) => {
      const cell = cells[at]
      row[name] = cell === null || cell === undefined ? null : parse(cell.toString('utf8'))
    })
    return row
  })
  return { rows, affected: result.count ?? 0 }
}

function isResult(answer: RawResult | readonly RawResult[]): answer is RawResult {
  return 'command' in answer && 'count' in answer && (answer as RawResult).command !== null
}

/**
 * postgres.js asks the server for the type of each parameter and writes it with the serializer of that type. Numbers go as text, which is
 * read as whatever is asked for; so do lists, which it could write only if it has fetched the types of arrays.
 */
function parameter(value: unknown, asText: boolean): unknown {
  if (typeof value === 'string') return asText ? value : new Text(value)
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `{${value.map(element).join(',')}}`
  return value
}

function element(value: unknown): string {
  return value === null ? 'NULL' : `"${String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}

/** A text that is JSON where JSON is asked for: a plain one would be written as a JSON string. */
class Text {
  private readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toString(): string {
    return this.text
  }
  toJSON(): unknown {
    try {
      return JSON.parse(this.text)
    } catch {
      return this.text
    }
  }
}

const JSONB = 3802

/** Reads what was set for an instance, `transform: postgres.camel` among it. */
export function waysOf(sql: object): Ways {
  const { options } = sql as {
    readonly options?: {
      readonly serializers?: Readonly<Record<number, (value: unknown) => unknown>>
      readonly transform?: {
        readonly column?: { readonly from?: Rename | undefined; readonly to?: Rename | undefined }
      }
    }
  }
  const { from, to } = options?.transform?.column ?? {}
  // Kept, because the names are few and come again and again.
  const known = new Map<string, string>()
  return {
    jsonAsText: () => options?.serializers?.[JSONB]?.('a') === 'a',
    originalName(name) {
      if (typeof from !== 'function') return name
      const before = known.get(name)
      if (before !== undefined) return before
      const snake = name
        .replace(/[A-Z]/g, (letter, at: number) => `${at === 0 ? '' : '_'}${letter.toLowerCase()}`)
        .replaceAll('-', '_')
      const found = [to?.(name), snake].find((one) => one !== undefined && from(one) === name) ?? name
      known.set(name, found)
      return found
    },
  }
}
type Rename = (name: string) => string

/** postgres.js keeps a connection for it, comes back by itself and tells so. */
export function listenPostgresJs(sql: Pick<PostgresJsSql, 'listen'>) {
  return async (channel: string, wake: () => void): Promise<() => Promise<void>> => {
    let gone = false
    const hear = (): void => {
      if (!gone) wake()
    }
    try {
      const { unlisten } = await sql.listen(channel, hear, hear)
      return async () => {
        gone = true
        await unlisten()
      }
    } catch (error) {
      gone = true
      throw classifyPostgres(error)
    }
  }
}
