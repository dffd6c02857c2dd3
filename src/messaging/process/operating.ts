// What operators do with processes: look, and say what they want. They need the store alone, not the program: what is wanted is written into the row, and done by a runner.
import type { StateStore, Transactional } from '../../core/contracts/store.ts'
import { countOption, knownOptions } from '../../core/options.ts'
import { changedMeanwhile, goesOn, kindOf, type ProcessRow, readRow, saveOptions, type Wish } from './row.ts'
import type { ProcessListOptions, ProcessView } from './runner-types.ts'

/** What it needs of a store. */
export interface OperatedPlace<Tx> extends Pick<Transactional<Tx>, 'transaction'> {
  readonly states: StateStore<Tx>
}

/** By id. */
export async function listProcesses<Tx>(
  place: OperatedPlace<Tx>,
  name: string,
  options: ProcessListOptions = {},
): Promise<readonly ProcessView[]> {
  knownOptions('list', options, ['limit', 'after', 'status'])
  const limit = countOption('limit', options.limit, 100, 0)
  const views: ProcessView[] = []
  if (limit === 0) return views
  for await (const { id, state, done } of place.states.list(kindOf(name), Number.MAX_SAFE_INTEGER, options.after)) {
    if (done && options.status === undefined) continue
    const view = viewOf(id, readRow(id, state))
    if (matches(view, options.status) && views.push(view) >= limit) break
  }
  return views
}

function matches({ status, stuck, row }: ProcessView, wanted: ProcessListOptions['status']): boolean {
  if (wanted === undefined) return goesOn(row)
  return wanted === 'all' || (wanted === 'stuck' ? stuck !== undefined : status === wanted)
}

/** One of them. */
export async function showProcess<Tx>(
  place: OperatedPlace<Tx>,
  name: string,
  id: string,
): Promise<ProcessView | undefined> {
  const found = await place.transaction((tx) => place.states.load(tx, kindOf(name), id))
  return found === undefined ? undefined : viewOf(id, readRow(id, found.state))
}

/** Notes what is wanted of it. @returns false where there is none that goes on */
export async function wishFor<Tx>(
  place: OperatedPlace<Tx>,
  name: string,
  id: string,
  wish: Wish,
  now: number,
): Promise<boolean> {
  const kind = kindOf(name)
  return await place.transaction(async (tx) => {
    const found = await place.states.load(tx, kind, id)
    if (found === undefined) return false
    const row = readRow(id, found.state)
    if (!goesOn(row)) return false
    // Since when it is wanted: its wake is to be found at once.
    const next: ProcessRow = { ...row, wish, changedAt: now }
    if (!(await place.states.save(tx, kind, id, found.version, next, saveOptions(next, row.correlations))))
      throw changedMeanwhile(id)
    return true
  })
}

function viewOf(id: string, row: ProcessRow): ProcessView {
  const { version, status, stuck, reason, state, startedAt, changedAt } = row
  return { id, version, status, stuck, reason, state, startedAt, changedAt, row }
}
