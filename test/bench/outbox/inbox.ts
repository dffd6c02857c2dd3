// What the inbox costs a consumer, and whether it costs more with five million entries.
import { type Line, line, short, table } from '../lines.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { InboxAnswer } from './inbox.worker.ts'
import { type Database, KIB_TEXT, type Site } from './site.ts'

/** Workers of this part, for `place`. */
export const INBOX_WORKERS: Readonly<Record<string, string>> = { inbox: 'test/bench/outbox/inbox.worker.ts' }

/** How fast messages are handled. */
export interface InboxRow {
  readonly name: string
  readonly entries: number
  readonly rounds: number
  readonly perSecond: number
  readonly cpuUs: number
}

/** What was measured. */
export interface InboxReport {
  readonly lines: readonly Line[]
  readonly rows: readonly InboxRow[]
}

const WITHOUT = 'without an inbox'
const WITH = 'inbox'
const FULL = 'inbox, full'

/** Measures and prints. */
export async function benchInbox(site: Site, quick: boolean): Promise<InboxReport> {
  const messages = quick ? 2_000 : 10_000
  const entries = quick ? 500_000 : 5_000_000
  const [small, full] = [await site.database('bench_inbox'), await site.database('bench_inbox_full')]
  await small.migrate()
  await full.migrate()
  await fillInbox(full, entries)
  await full.settle()
  const candidates = [
    { name: WITHOUT, database: small, entries: 0 },
    { name: WITH, database: small, entries: 0 },
    { name: FULL, database: full, entries },
  ]
  const workers = new Map<string, Awaited<ReturnType<typeof site.worker<InboxAnswer>>>>()
  for (const { name, database } of candidates)
    workers.set(name, await site.worker<InboxAnswer>('inbox', name, database.url))
  const found = new Map<string, InboxAnswer[]>(candidates.map(({ name }) => [name, []]))
  const shuffle = shuffler(5)
  for (let round = -1; round < (quick ? 3 : 7); round++)
    for (const { name, database } of shuffle(candidates)) {
      await database.run('truncate orders')
      if (database === small) await database.run('truncate fairlead.inbox')
      await database.settle()
      const before = await database.count('select count(*) n from fairlead.inbox')
      const answer = await workers.get(name)?.ask({ messages, textLength: KIB_TEXT })
      const [orders, noted] = [
        await database.count('select count(*) n from orders'),
        (await database.count('select count(*) n from fairlead.inbox')) - before,
      ]
      if (answer === undefined || orders !== messages || noted !== (name === WITHOUT ? 0 : messages))
        throw new Error(`${name}: ${orders} orders and ${noted} entries of ${messages}`)
      if (round >= 0) found.get(name)?.push(answer)
    }
  const rates = (name: string): readonly number[] => (found.get(name) ?? []).map(({ perSecond }) => perSecond)
  const rows = candidates.map(
    ({ name, entries: there }): InboxRow => ({
      name,
      entries: there,
      rounds: rates(name).length,
      perSecond: median(rates(name)),
      cpuUs: median((found.get(name) ?? []).map(({ cpuUs }) => cpuUs)),
    }),
  )
  console.log(
    `\n${site.name}: a consumer of 32 handlers at once, each inserts a row; memory transport, messages of 1 KiB`,
  )
  table(
    ['consumer', 'entries', 'messages/s', `of ${WITHOUT}`, 'CPU us/message', 'rounds'],
    rows.map(({ name, entries: there, perSecond, cpuUs, rounds }) => [
      name,
      there.toLocaleString('en'),
      perSecond.toFixed(0),
      short(median(quotients(rates(name), rates(WITHOUT)))),
      short(cpuUs),
      String(rounds),
    ]),
  )
  const part = `inbox, ${site.name}`
  return {
    rows,
    lines: [
      line(part, `messages/s: ${WITH} / ${WITHOUT}`, 'at least', 0.6, quotients(rates(WITH), rates(WITHOUT))),
      line(
        part,
        `messages/s: ${entries.toLocaleString('en')} entries / none`,
        'at least',
        0.9,
        quotients(rates(FULL), rates(WITH)),
      ),
    ],
  }
}

// Entries as a consumer leaves them that takes messages with ids of version 7, of the two weeks before.
async function fillInbox(database: Database, entries: number): Promise<void> {
  const batch = 500_000
  for (let at = 0; at < entries; at += batch)
    await database.run(
      `insert into fairlead.inbox (name, applied_at)
      select convert_to(substr(r.hex, 1, 8) || '-' || substr(r.hex, 9, 4), 'UTF8') || decode(md5(r.n::text), 'hex'), r.at
      from (
        select g.n, t.at, lpad(to_hex((extract(epoch from t.at) * 1000)::bigint), 12, '0') as hex
        from generate_series($1::int, $2::int) g(n),
          lateral (select clock_timestamp() - interval '14 days' * (1 - g.n::float8 / $3)) t(at)
      ) r`,
      [at + 1, Math.min(at + batch, entries), entries],
    )
}
