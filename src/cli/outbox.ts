// fairlead outbox: look at what waits, what is dead, and decide about it.
import type { DeadRow, OutboxStore } from '../core/contracts/store.ts'
import { connect } from './connect.ts'
import { inBatches } from './in-batches.ts'
import type { Io } from './io.ts'
import { table } from './table.ts'
import { countOf, durationOf, only, parsed, textOf, Usage } from './usage.ts'

const OPTIONS = {
  database: { type: 'string' },
  schema: { type: 'string' },
  prefix: { type: 'string' },
  json: { type: 'boolean' },
  limit: { type: 'string' },
  'older-than': { type: 'string' },
  dead: { type: 'boolean' },
} as const

const PLACE = ['database', 'schema', 'prefix', 'json']

type Options = Readonly<Record<string, string | boolean | undefined>>

/** Runs one of its commands. */
export async function outbox(words: readonly string[], io: Io): Promise<number> {
  const { values, words: named } = parsed(words, OPTIONS)
  const [what = '', ...ids] = named
  const command = Object.hasOwn(COMMANDS, what) ? COMMANDS[what] : undefined
  if (command === undefined) throw new Usage(what === '' ? 'outbox: say what to do' : `outbox has no command ${what}`)
  const act = command(ids, values)
  const place = await connect(
    textOf(values['database']) ?? io.env['DATABASE_URL'],
    textOf(values['schema']),
    textOf(values['prefix']),
    io,
  )
  try {
    await place.store.check()
    const answer = await act(place.store.outbox)
    io.out(values['json'] === true ? JSON.stringify(answer.json) : answer.text)
    return 0
  } finally {
    await place.close()
  }
}

interface Answer {
  readonly json: unknown
  readonly text: string
}

/** Checks its words before anything is opened, then acts. */
type Command = (ids: readonly string[], options: Options) => (store: OutboxStore<unknown>) => Promise<Answer>

const COMMANDS: Readonly<Record<string, Command>> = {
  status: (ids, options) => {
    none('status', ids)
    only('status', options, PLACE)
    return async (store) => {
      const stats = await store.stats()
      return {
        json: stats,
        text: table(
          ['backlog', 'dead', 'blocked keys', 'oldest, s'],
          [[stats.backlog, stats.dead, stats.blockedKeys, Math.round(stats.oldestMs / 1_000)]],
        ),
      }
    }
  },
  dead: (ids, options) => {
    none('dead', ids)
    only('dead', options, [...PLACE, 'limit'])
    const limit = countOf('limit', options['limit']) ?? 100
    return async (store) => {
      const rows: DeadRow[] = []
      for await (const row of store.dead(limit)) rows.push(row)
      return { json: rows.map(shown), text: rows.length === 0 ? 'no dead messages' : deadTable(rows) }
    }
  },
  redrive: (ids, options) => {
    only('redrive', options, PLACE)
    if (ids.length === 0) throw new Usage('redrive: name the ids, or say all')
    if (ids.length > 1 && ids.includes('all')) throw new Usage('redrive: name the ids, or say all, not both')
    const which = ids.length === 1 && ids[0] === 'all' ? 'all' : ids
    return (store) => counted('redriven', store.redrive(which))
  },
  skip: (ids, options) => {
    only('skip', options, PLACE)
    if (ids.length === 0) throw new Usage('skip: name the ids. What is skipped is lost')
    if (ids.includes('all')) throw new Usage('skip: name the ids one by one. What is skipped is lost')
    return (store) => counted('skipped', store.skip(ids))
  },
  purge: (ids, options) => {
    none('purge', ids)
    only('purge', options, [...PLACE, 'limit', 'older-than', 'dead'])
    const limit = countOf('limit', options['limit']) ?? Number.POSITIVE_INFINITY
    const dead = options['dead'] === true
    const age = durationOf('older-than', options['older-than'])
    if (dead && age === undefined)
      throw new Usage('purge --dead: say --older-than, such as 30d. What is purged is lost')
    const olderThanMs = age ?? 7 * 86_400_000
    return (store) =>
      counted(
        'purged',
        inBatches(limit, (batch) => store.purge({ olderThanMs, limit: batch, dead })),
      )
  },
}

async function counted(what: string, counting: Promise<number>): Promise<Answer> {
  const count = await counting
  return { json: { [what]: count }, text: `${count} ${what}` }
}

function none(what: string, ids: readonly string[]): void {
  if (ids.length > 0) throw new Usage(`${what} takes no ${ids[0]}`)
}

function shown({ channel, envelope, sequence, attempts, reason, at }: DeadRow): unknown {
  const { id, key, attributes, headers, body } = envelope
  return {
    id,
    channel,
    key,
    type: attributes['type'],
    attempts,
    reason,
    diedAt: new Date(at).toISOString(),
    sequence: String(sequence),
    attributes,
    headers,
    bodyBytes: body.byteLength,
  }
}

function deadTable(rows: readonly DeadRow[]): string {
  return table(
    ['id', 'channel', 'type', 'key', 'attempts', 'died at', 'reason'],
    rows.map(({ channel, envelope, attempts, reason, at }) => [
      envelope.id,
      channel.name,
      envelope.attributes['type'] ?? '',
      envelope.key ?? '',
      attempts,
      new Date(at).toISOString(),
      reason,
    ]),
  )
}
