// fairlead process: look at processes (sagas), have one that is stuck go on, or be undone, and delete those that are over.

import { systemClock } from '../core/clock.ts'
import type { Store } from '../core/contracts/store.ts'
import { listProcesses, showProcess, wishFor } from '../messaging/process/operating.ts'
import { kindOf, type ProcessStatus } from '../messaging/process/row.ts'
import type { ProcessView } from '../messaging/process/runner-types.ts'
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
  after: { type: 'string' },
  status: { type: 'string' },
  reason: { type: 'string' },
  done: { type: 'string' },
  refused: { type: 'string' },
  'older-than': { type: 'string' },
} as const

const PLACE = ['database', 'schema', 'prefix', 'json']
const STATUS = ['running', 'undoing', 'completed', 'failed', 'cancelled', 'stuck', 'all']

type Options = Readonly<Record<string, string | boolean | undefined>>

/** Runs one of its commands. */
export async function processes(words: readonly string[], io: Io): Promise<number> {
  const { values, words: named } = parsed(words, OPTIONS)
  const [what = '', name, ...ids] = named
  const command = Object.hasOwn(COMMANDS, what) ? COMMANDS[what] : undefined
  if (command === undefined) throw new Usage(what === '' ? 'process: say what to do' : `process has no command ${what}`)
  if (name === undefined) throw new Usage(`process ${what}: name the process, as defineProcess does`)
  const act = command(name, ids, values)
  const place = await connect(
    textOf(values['database']) ?? io.env['DATABASE_URL'],
    textOf(values['schema']),
    textOf(values['prefix']),
    io,
  )
  try {
    await place.store.check()
    const answer = await act(place.store)
    io.out(values['json'] === true ? JSON.stringify(answer.json) : answer.text)
    return answer.code ?? 0
  } finally {
    await place.close()
  }
}

interface Answer {
  readonly json: unknown
  readonly text: string
  readonly code?: number
}

/** Checks its words before anything is opened, then acts. */
type Command = (name: string, ids: readonly string[], options: Options) => (store: Store<unknown>) => Promise<Answer>

const COMMANDS: Readonly<Record<string, Command>> = {
  list: (name, ids, options) => {
    if (ids.length > 0) throw new Usage(`process list takes no ${ids[0]}`)
    only('process list', options, [...PLACE, 'limit', 'after', 'status'])
    const status = textOf(options['status'])
    if (status !== undefined && !STATUS.includes(status))
      throw new Usage(`--status ${status}: give one of ${STATUS.join(', ')}`)
    const limit = countOf('limit', options['limit'])
    const after = textOf(options['after'])
    return async (store) => {
      const views = await listProcesses(store, name, { limit, after, status: status as ProcessStatus | undefined })
      return { json: views.map(brief), text: views.length === 0 ? `no such processes ${name}` : listTable(views) }
    }
  },
  show: (name, ids, options) => {
    only('process show', options, PLACE)
    const id = one('show', ids)
    return async (store) => {
      const view = await showProcess(store, name, id)
      if (view === undefined) return none(name, id)
      return { json: { ...brief(view), state: view.state, row: view.row }, text: details(view) }
    }
  },
  resume: (name, ids, options) => {
    only('process resume', options, [...PLACE, 'done', 'refused'])
    const id = one('resume', ids)
    const settle: Record<string, 'done' | 'refused'> = {}
    for (const as of ['done', 'refused'] as const) {
      const step = textOf(options[as])
      if (step !== undefined) settle[step] = as
    }
    return async (store) => {
      const unknown = await notOpen(store, name, id, Object.keys(settle))
      if (unknown !== undefined) throw new Usage(unknown)
      return wished(
        await wishFor(store, name, id, { what: 'resume', settle }, systemClock.wallNow()),
        name,
        id,
        'resume',
      )
    }
  },
  cancel: (name, ids, options) => {
    only('process cancel', options, [...PLACE, 'reason'])
    const id = one('cancel', ids)
    const reason = textOf(options['reason'])
    return async (store) =>
      wished(await wishFor(store, name, id, { what: 'cancel', reason }, systemClock.wallNow()), name, id, 'cancel')
  },
  purge: (name, ids, options) => {
    if (ids.length > 0) throw new Usage(`process purge takes no ${ids[0]}`)
    only('process purge', options, [...PLACE, 'limit', 'older-than'])
    const limit = countOf('limit', options['limit']) ?? Number.POSITIVE_INFINITY
    const olderThanMs = durationOf('older-than', options['older-than'])
    if (olderThanMs === undefined)
      throw new Usage(
        'process purge: say --older-than, such as 30d: not less than the inbox keeps its entries, or a late message begins one anew. What is purged is lost',
      )
    return async ({ states }) => {
      const count = await inBatches(limit, (batch) => states.purge(kindOf(name), olderThanMs, batch))
      return { json: { purged: count }, text: `${count} purged` }
    }
  },
}

function one(what: string, ids: readonly string[]): string {
  const [id, more] = ids
  if (id === undefined || more !== undefined) throw new Usage(`process ${what}: give the id of one process`)
  return id
}

// What is said of a step that nobody waits for would be without effect.
async function notOpen(
  store: Store<unknown>,
  name: string,
  id: string,
  steps: readonly string[],
): Promise<string | undefined> {
  if (steps.length === 0) return undefined
  const view = await showProcess(store, name, id)
  const open = Object.entries(view?.row.steps ?? {}).flatMap(([key, { is }]) =>
    is === 'open' || is === 'unknown' ? [key] : [],
  )
  const wrong = steps.find((step) => !open.includes(step))
  return view === undefined || wrong === undefined
    ? undefined
    : `${kindOf(name)} ${id} has no open step ${wrong}; open: ${open.join(', ') || 'none'}`
}

function none(name: string, id: string): Answer {
  return { json: null, text: `no process ${name} ${id}`, code: 1 }
}

function wished(noted: boolean, name: string, id: string, what: string): Answer {
  if (!noted) return { json: { [what]: 0 }, text: `no process ${name} ${id} that goes on`, code: 1 }
  return { json: { [what]: 1 }, text: `${what} is noted: a runner does it with its next look` }
}

function brief({ id, version, status, stuck, reason, startedAt, changedAt }: ProcessView): Record<string, unknown> {
  return { id, status, stuck, reason, version, startedAt: iso(startedAt), changedAt: iso(changedAt) }
}

function listTable(views: readonly ProcessView[]): string {
  return table(
    ['id', 'status', 'version', 'started', 'changed', 'stuck with', 'reason'],
    views.map(({ id, status, version, startedAt, changedAt, stuck, reason }) => [
      id,
      status,
      String(version),
      iso(startedAt),
      iso(changedAt),
      stuck === undefined ? '' : `${stuck.step}: ${stuck.why}`,
      reason ?? '',
    ]),
  )
}

function details(view: ProcessView): string {
  const { row, stuck } = view
  const lines = [listTable([view])]
  if (stuck !== undefined) lines.push(`stuck with ${stuck.step}: ${stuck.why}`)
  const steps = Object.entries(row.steps)
  if (steps.length > 0)
    lines.push(
      '',
      table(
        ['step', 'is', 'sent', 'asked'],
        steps.map(([key, { is, at, asks }]) => [key, is, iso(at), asks]),
      ),
    )
  if (row.undo.length > 0)
    lines.push(
      '',
      table(
        ['to undo, last first', 'is', 'with'],
        row.undo
          .toReversed()
          .map(({ step, of, n, failed, data }) => [
            of === undefined ? step : `${step}/${of}`,
            failed ? 'failed' : n === undefined ? 'waits' : 'sent',
            JSON.stringify(data) ?? '',
          ]),
      ),
    )
  const timers = Object.entries(row.timers)
  if (timers.length > 0)
    lines.push(
      '',
      table(
        ['comes', 'at'],
        timers.map(([key, { at, told }]) => [key, told ? 'now' : iso(at)]),
      ),
    )
  return [...lines, '', `state ${JSON.stringify(view.state)}`].join('\n')
}

function iso(at: number): string {
  return new Date(at).toISOString()
}
