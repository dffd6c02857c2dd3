// What a pick costs with its accounting (acquire and report through the resolver), by the number of endpoints, beside the choice of undici's
// BalancedPool alone; and what it costs to take over a new list.
import { join } from 'node:path'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { startCrew } from '../rounds.ts'
import { median, quotients } from '../statistics.ts'

/** Workers of this part, for `place`. */
export const PICK_WORKERS: Readonly<Record<string, string>> = { pick: 'test/bench/discovery/pick.worker.ts' }

/** What was measured. */
export interface PickReport {
  readonly lines: readonly Line[]
  /** Nanoseconds of CPU of one, by candidate. */
  readonly ns: Readonly<Record<string, number>>
}

const DEFAULT = 'p2c-ewma'
const SIZES = [10, 100, 1_000]
const OTHERS = ['p2c', 'least-request', 'round-robin', 'weighted', 'random', 'consistent-hash', 'sticky']
const CANDIDATES = [
  ...[DEFAULT, 'BalancedPool'].flatMap((name) => SIZES.map((size) => `${name} ${size}`)),
  ...OTHERS.map((name) => `${name} 1000`),
  'update 1000',
  'Map 1000',
]

/** Measures and prints. */
export async function benchPick(where: Place, quick: boolean): Promise<PickReport> {
  const part = `pick, ${where.version}`
  const crew = await startCrew<{ readonly ms: number }, { readonly ns: number }>(
    CANDIDATES,
    (name) => ({ file: join(where.folder, 'pick.js'), node: where.node, args: name.split(' ') }),
    () => [{ ms: quick ? 150 : 400 }],
  )
  let answers: ReadonlyMap<string, readonly { readonly ns: number }[]>
  try {
    answers = await crew.rounds(CANDIDATES, { ms: quick ? 15 : 30 }, quick ? 9 : 31)
  } finally {
    await crew.stop()
  }
  const ns = (name: string): readonly number[] => (answers.get(name) ?? []).map((answer) => answer.ns)
  const atMost = (above: string, below: string, limit: number): Line =>
    line(part, `${above} / ${below}`, 'at most', limit, quotients(ns(above), ns(below)))
  const lines = [
    atMost(`${DEFAULT} 1000`, `${DEFAULT} 10`, 1.5),
    atMost(`${DEFAULT} 100`, 'BalancedPool 100', 1),
    atMost(`${DEFAULT} 1000`, 'BalancedPool 1000', 1 / 10),
    atMost('update 1000', 'Map 1000', 50),
  ]
  const medians = Object.fromEntries(CANDIDATES.map((name) => [name, median(ns(name))]))
  console.log(
    `\nacquire and report by endpoints (BalancedPool: only its choice; update: a list of which one is new), CPU time, ${where.version}`,
  )
  table(
    ['candidate', 'ns'],
    Object.entries(medians).map(([name, value]) => [name, short(value)]),
  )
  return { lines, ns: medians }
}
