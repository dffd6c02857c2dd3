// What the outbox adds to a business transaction: two inserts with it, beside the same two by hand.
import { type Line, line, short, table } from '../lines.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { AppendAnswer } from './append.worker.ts'
import { KEYS, KIB_TEXT, type Site } from './site.ts'

/** Workers of this part, for `place`. */
export const APPEND_WORKERS: Readonly<Record<string, string>> = { append: 'test/bench/outbox/append.worker.ts' }

/** How fast transactions go. */
export interface AppendRow {
  readonly name: string
  readonly rounds: number
  readonly perSecond: number
  readonly cpuUs: number
}

/** What was measured. */
export interface AppendReport {
  readonly lines: readonly Line[]
  readonly rows: readonly AppendRow[]
}

/** Transactions under way at once. */
export const WRITERS = 32

const OURS = 'fairlead'
const HAND = 'by hand'
const LOCKED = 'by hand, with the lock'

/** Measures and prints. */
export async function benchAppend(site: Site, quick: boolean): Promise<AppendReport> {
  const transactions = quick ? 4_000 : 10_000
  const database = await site.database('bench_append')
  await database.migrate()
  const names = [OURS, HAND, LOCKED]
  const workers = []
  for (const name of names) workers.push(await site.worker<AppendAnswer>('append', name, database.url))
  const ask = { transactions, writers: WRITERS, keys: KEYS, textLength: KIB_TEXT }
  const found = new Map<string, AppendAnswer[]>(names.map((name) => [name, []]))
  const shuffle = shuffler(names.length)
  for (let round = -1; round < (quick ? 3 : 7); round++)
    for (const worker of shuffle(workers)) {
      await database.run('truncate fairlead.outbox, orders')
      await database.settle()
      const answer = await worker.ask(ask)
      const [rows, orders] = [
        await database.count('select count(*) n from fairlead.outbox'),
        await database.count('select count(*) n from orders'),
      ]
      if (rows !== transactions || orders !== transactions)
        throw new Error(`${worker.name}: ${orders} orders and ${rows} messages of ${transactions}`)
      // A round first for what is compiled and planned on the way.
      if (round >= 0) found.get(worker.name)?.push(answer)
    }
  const rates = (name: string): readonly number[] => (found.get(name) ?? []).map(({ perSecond }) => perSecond)
  const rows = names.map(
    (name): AppendRow => ({
      name,
      rounds: rates(name).length,
      perSecond: median(rates(name)),
      cpuUs: median((found.get(name) ?? []).map(({ cpuUs }) => cpuUs)),
    }),
  )
  console.log(
    `\n${site.name}: transactions of two inserts, ${WRITERS} writers, ${KEYS.toLocaleString('en')} keys, messages of 1 KiB`,
  )
  table(
    ['outbox', 'transactions/s', `of ${HAND}`, 'CPU us/transaction', 'rounds'],
    rows.map(({ name, perSecond, cpuUs, rounds }) => [
      name,
      perSecond.toFixed(0),
      short(median(quotients(rates(name), rates(HAND)))),
      short(cpuUs),
      String(rounds),
    ]),
  )
  return {
    rows,
    lines: [
      line(
        `append, ${site.name}`,
        `transactions/s: ${OURS} / ${HAND}`,
        'at least',
        0.85,
        quotients(rates(OURS), rates(HAND)),
      ),
    ],
  }
}
