// How fast a backlog leaves: the relay beside a bare loop on the same table, and beside the peers on tables of their own.
import { type Line, line, short, table } from '../lines.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import type { Worker } from '../worker.ts'
import type { DrainAnswer } from './relay.worker.ts'
import { type Database, fillOutbox, KIB_TEXT, type Site } from './site.ts'

/** Workers of this part, for `place`; those of graphile-worker and pg-boss are the bench of messaging's. */
export const RELAY_WORKERS: Readonly<Record<string, string>> = { relay: 'test/bench/outbox/relay.worker.ts' }

/** Packages that are measured here besides. */
export const RELAY_PEERS: readonly string[] = ['pg-transactional-outbox']

/** How fast a backlog goes. */
export interface RelayRow {
  readonly name: string
  readonly backlog: number
  readonly rounds: number
  readonly perSecond: number
  readonly cpuUs: number
}

/** What was measured. */
export interface RelayReport {
  readonly lines: readonly Line[]
  readonly rows: readonly RelayRow[]
}

const BARE = 'bare'
const RELAY = 'relay'
const ARCHIVE = 'relay, archive'
const PTX = 'pg-transactional-outbox'
const GRAPHILE = 'graphile-worker'
const BOSSES = ['pg-boss', 'pg-boss, fetch']
const SHOWN: Readonly<Record<string, string>> = { bare: 'bare DELETE ... RETURNING' }

// Each poll of it sorts all that waits: it is faster with less.
const PTX_BACKLOG = 2_000

interface Candidate {
  readonly name: string
  readonly backlog: number
  /** Fills, lets come to rest, drains, looks whether all is gone. */
  round(messages: number): Promise<DrainAnswer>
}

/** Measures and prints. */
export async function benchRelay(site: Site, quick: boolean): Promise<RelayReport> {
  const backlog = quick ? 20_000 : 100_000
  const warmUp = quick ? 5_000 : 20_000
  const candidates: Candidate[] = []
  const database = await site.database('bench_relay')
  await database.migrate()
  for (const name of [BARE, RELAY, ARCHIVE])
    candidates.push(await ofTable(database, await site.worker('relay', name, database.url), backlog))
  candidates.push(await ptx(site))
  for (const [index, name] of [GRAPHILE, ...BOSSES].entries())
    candidates.push(await ofMessaging(site, name, `bench_peer_${index}`, backlog))

  const found = new Map<string, DrainAnswer[]>(candidates.map(({ name }) => [name, []]))
  for (const candidate of candidates)
    for (let run = 0; run < 2; run++) await candidate.round(Math.min(warmUp, candidate.backlog))
  const shuffle = shuffler(candidates.length)
  for (let round = 0; round < (quick ? 3 : 5); round++)
    for (const candidate of shuffle(candidates))
      found.get(candidate.name)?.push(await candidate.round(candidate.backlog))

  const rates = (name: string): readonly number[] => (found.get(name) ?? []).map(({ perSecond }) => perSecond)
  const rows = candidates.map(
    ({ name, backlog: messages }): RelayRow => ({
      name: SHOWN[name] ?? name,
      backlog: messages,
      rounds: rates(name).length,
      perSecond: median(rates(name)),
      cpuUs: median((found.get(name) ?? []).map(({ cpuUs }) => cpuUs)),
    }),
  )
  console.log(`\n${site.name}: a backlog of messages of 1 KiB, a publisher that does nothing`)
  table(
    ['outbox', 'backlog', 'rows/s', 'of bare', 'CPU us/row', 'rounds'],
    rows.map(({ name, backlog: messages, perSecond, cpuUs, rounds }) => [
      name,
      messages.toLocaleString('en'),
      perSecond.toFixed(0),
      short(perSecond / median(rates(BARE))),
      short(cpuUs),
      String(rounds),
    ]),
  )
  const best = BOSSES.reduce((a, b) => (median(rates(b)) > median(rates(a)) ? b : a))
  const against = (ours: string, theirs: string, limit: number): Line =>
    line(
      `relay, ${site.name}`,
      `rows/s: ${ours} / ${SHOWN[theirs] ?? theirs}`,
      'at least',
      limit,
      quotients(rates(ours), rates(theirs)),
    )
  return {
    rows,
    lines: [
      against(RELAY, BARE, 0.9),
      against(ARCHIVE, BARE, 0.7),
      against(RELAY, PTX, 40),
      against(RELAY, best, 6),
      against(RELAY, GRAPHILE, 3),
    ],
  }
}

async function ofTable(database: Database, worker: Worker<object, DrainAnswer>, backlog: number): Promise<Candidate> {
  return {
    name: worker.name,
    backlog,
    async round(messages) {
      await database.run('truncate fairlead.outbox, fairlead.outbox_archive')
      await fillOutbox(database, messages, KIB_TEXT)
      await database.settle()
      const answer = await worker.ask({ ask: 'drain', messages })
      const left = await database.count('select count(*) n from fairlead.outbox')
      const kept = await database.count('select count(*) n from fairlead.outbox_archive')
      if (answer.sent !== messages || left !== 0 || kept !== (worker.name === ARCHIVE ? messages : 0))
        throw new Error(`${worker.name}: sent ${answer.sent} of ${messages}, ${left} are left, ${kept} in the archive`)
      return answer
    },
  }
}

async function ptx(site: Site): Promise<Candidate> {
  const database = await site.database('bench_ptx')
  const worker = await site.worker<DrainAnswer>('relay', PTX, database.url)
  return {
    name: PTX,
    backlog: PTX_BACKLOG,
    async round(messages) {
      await worker.ask({ ask: 'fill', messages, textLength: KIB_TEXT })
      await database.settle()
      return await worker.ask({ ask: 'drain', messages })
    },
  }
}

// Its worker fills, lets come to rest, drains and counts by itself.
async function ofMessaging(site: Site, name: string, databaseName: string, backlog: number): Promise<Candidate> {
  const database = await site.database(databaseName)
  const worker = await site.worker<DrainAnswer>('postgres', name, database.url, ['first'])
  return {
    name,
    backlog,
    async round(messages) {
      await worker.ask({ ask: 'fill', messages })
      return await worker.ask({ ask: 'drain', messages })
    },
  }
}
