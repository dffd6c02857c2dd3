// Whether five million rows that wait slow down what comes in and what goes out.
import { type Line, line, short, table } from '../lines.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { Worker } from '../worker.ts'
import { WRITERS } from './append.ts'
import type { AppendAnswer } from './append.worker.ts'
import type { DrainAnswer } from './relay.worker.ts'
import { type Database, fillOutbox, KEYS, type Site } from './site.ts'

/** How fast it goes. */
export interface BacklogRow {
  readonly what: 'append' | 'relay'
  readonly waiting: number
  readonly rounds: number
  readonly perSecond: number
}

/** What was measured. */
export interface BacklogReport {
  readonly lines: readonly Line[]
  readonly rows: readonly BacklogRow[]
}

// Small bodies: five million of 1 KiB would measure the disk.
const TEXT_LENGTH = 10

interface Side {
  readonly waiting: number
  readonly database: Database
  readonly append: Worker<object, AppendAnswer>
  readonly relay: Worker<object, DrainAnswer>
}

/** Measures and prints. */
export async function benchBacklog(site: Site, quick: boolean): Promise<BacklogReport> {
  const many = quick ? 500_000 : 5_000_000
  const drained = quick ? 10_000 : 50_000
  const transactions = quick ? 2_000 : 10_000
  const sides: Side[] = []
  for (const [name, waiting] of [
    ['few', drained],
    ['many', many],
  ] as const) {
    const database = await site.database(`bench_backlog_${name}`)
    await database.migrate()
    sides.push({
      waiting,
      database,
      append: await site.worker<AppendAnswer>('append', 'fairlead', database.url),
      relay: await site.worker<DrainAnswer>('relay', 'relay', database.url),
    })
  }
  const found = { append: sides.map(() => [] as number[]), relay: sides.map(() => [] as number[]) }
  const [, large] = sides as [Side, Side]
  await fillOutbox(large.database, many, TEXT_LENGTH)
  const shuffle = shuffler(3)
  for (let round = -1; round < (quick ? 3 : 5); round++)
    for (const side of shuffle(sides)) {
      const { database, append, relay } = side
      // What the relay takes and what was appended: it is so many again in each round.
      if (side !== large) await database.run('truncate fairlead.outbox')
      await fillOutbox(database, side === large ? await missing(database, many) : drained, TEXT_LENGTH)
      await database.run('truncate orders')
      await database.settle()
      const written = await append.ask({ transactions, writers: WRITERS, keys: KEYS, textLength: TEXT_LENGTH })
      await database.settle()
      const gone = await relay.ask({ ask: 'drain', messages: drained })
      if (round < 0) continue
      found.append[sides.indexOf(side)]?.push(written.perSecond)
      found.relay[sides.indexOf(side)]?.push(gone.perSecond)
    }
  const rows = (['append', 'relay'] as const).flatMap((what) =>
    sides.map(
      ({ waiting }, at): BacklogRow => ({
        what,
        waiting,
        rounds: found[what][at]?.length ?? 0,
        perSecond: median(found[what][at] ?? []),
      }),
    ),
  )
  console.log(`\n${site.name}: with rows of about 350 bytes that wait`)
  table(
    ['', 'rows that wait', 'a second', 'rounds'],
    rows.map(({ what, waiting, perSecond, rounds }) => [
      what === 'append' ? `transactions, ${WRITERS} writers` : `rows, ${drained.toLocaleString('en')} of them`,
      waiting.toLocaleString('en'),
      short(perSecond),
      String(rounds),
    ]),
  )
  const [few, more] = sides.map(({ waiting }) => waiting.toLocaleString('en'))
  return {
    rows,
    lines: (['append', 'relay'] as const).map((what) =>
      line(
        `backlog, ${site.name}`,
        `${what}: ${more} rows that wait / ${few}`,
        'at least',
        0.8,
        quotients(found[what][1] ?? [], found[what][0] ?? []),
      ),
    ),
  }
}

async function missing(database: Database, rows: number): Promise<number> {
  return Math.max(0, rows - (await database.count('select count(*) n from fairlead.outbox')))
}
