// In process: what the whole standard pipeline adds to `await fn()`, what a refusal costs, what a pipeline weighs.
import { join } from 'node:path'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { startCrew } from '../rounds.ts'
import { median, quotients } from '../statistics.ts'
import { startWorker } from '../worker.ts'

/** Workers of this part, for `place`. */
export const CALL_WORKERS: Readonly<Record<string, string>> = {
  calls: 'test/bench/rpi/calls.worker.ts',
  heap: 'test/bench/rpi/heap.worker.ts',
}

/** What was measured. */
export interface CallsReport {
  readonly lines: readonly Line[]
  /** Nanoseconds added to `await fn()`. */
  readonly addedNs: Readonly<Record<string, number>>
  /** Nanoseconds of a whole refusal. */
  readonly refusalNs: Readonly<Record<string, number>>
  readonly heap: Readonly<Record<string, { readonly bytes: number; readonly timers: number }>>
}

const CALLS = [
  'bare',
  'fairlead',
  'fairlead, ring',
  'fairlead, signal',
  'fairlead, ring, signal',
  'cockatiel',
  'cockatiel, signal',
  'cockatiel cooperative',
  'cockatiel cooperative, signal',
  'cockatiel, one timeout',
  'named stack',
]

const REFUSALS = ['open', 'capped'].flatMap((state) => [
  `fairlead ${state}, thrown`,
  `fairlead ${state}, result`,
  `opossum ${state}`,
  `cockatiel ${state}`,
])

/** Measures and prints. */
export async function benchCalls(where: Place, quick: boolean): Promise<CallsReport> {
  const part = `in process, ${where.version}`
  const lines: Line[] = []
  const crew = await startCrew<{ readonly ms: number; readonly warmUp?: boolean }, { readonly ns: number }>(
    [...CALLS, ...REFUSALS],
    (name) => ({ file: join(where.folder, 'calls.js'), node: where.node, args: [name] }),
    () => [{ ms: quick ? 150 : 500, warmUp: true }],
  )
  const measure = async (candidates: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> => {
    const answers = await crew.rounds(candidates, { ms: quick ? 15 : 30 }, quick ? 9 : 31)
    return new Map([...answers].map(([name, list]) => [name, list.map(({ ns }) => ns)]))
  }

  const calls = await measure(CALLS)
  const bare = calls.get('bare') as readonly number[]
  const added = (name: string): readonly number[] =>
    (calls.get(name) as readonly number[]).map((ns, round) => ns - (bare[round] as number))
  const atMost = (ours: string, theirs: string, limit: number): void => {
    lines.push(line(part, `added: ${ours} / ${theirs}`, 'at most', limit, quotients(added(ours), added(theirs))))
  }
  atMost('fairlead', 'cockatiel', 1 / 9)
  atMost('fairlead', 'named stack', 1 / 9)
  atMost('fairlead, signal', 'cockatiel, signal', 1 / 4)
  atMost('fairlead, ring', 'cockatiel', 1 / 11)
  atMost('fairlead, ring', 'named stack', 1 / 12)
  atMost('fairlead, ring, signal', 'cockatiel, signal', 1 / 5)

  const refusals = await measure(REFUSALS)
  await crew.stop()
  const refusal = (name: string): readonly number[] => refusals.get(name) as readonly number[]
  const atMostOf = (ours: string, theirs: string, limit: number): void => {
    lines.push(line(part, `refusal: ${ours} / ${theirs}`, 'at most', limit, quotients(refusal(ours), refusal(theirs))))
  }
  for (const state of ['open', 'capped']) {
    atMostOf(`fairlead ${state}, thrown`, `opossum ${state}`, 1 / 2)
    atMostOf(`fairlead ${state}, result`, `opossum ${state}`, 1 / 5)
    atMostOf(`fairlead ${state}, result`, `cockatiel ${state}`, 1 / 10)
  }

  const heap: Record<string, { readonly bytes: number; readonly timers: number }> = {}
  const runs = quick ? 1 : 3
  const extra: number[] = []
  for (let run = 0; run < runs; run++) {
    for (const name of ['opossum', 'fairlead', 'fairlead, ring', 'cockatiel']) {
      const worker = await startWorker<object, { readonly bytes: number; readonly timers: number }>(name, {
        file: join(where.folder, 'heap.js'),
        node: where.node,
        args: [name],
        flags: ['--expose-gc'],
      })
      heap[name] = await worker.ask({})
      await worker.stop()
    }
    extra.push(((heap['fairlead']?.bytes ?? Number.NaN) - (heap['opossum']?.bytes ?? Number.NaN)) / 1024)
  }
  lines.push(line(part, 'KiB: 10,000 pipelines - 10,000 opossums, each', 'at most', 1.5, extra))
  lines.push(line(part, 'timers: 10,000 pipelines', 'at most', 0, [heap['fairlead']?.timers ?? Number.NaN]))

  const addedNs = Object.fromEntries(CALLS.filter((name) => name !== 'bare').map((name) => [name, median(added(name))]))
  const refusalNs = Object.fromEntries(REFUSALS.map((name) => [name, median(refusal(name))]))
  console.log(`\nadded to \`await fn()\` (${short(median(bare))} ns), ${where.version}`)
  const times = (name: string): string =>
    name.startsWith('fairlead') ? '' : short(median(quotients(added(name), added('fairlead'))))
  table(
    ['pipeline', 'ns', 'of fairlead'],
    Object.entries(addedNs).map(([name, ns]) => [name, short(ns), times(name)]),
  )
  console.log('\na refusal, whole')
  table(
    ['refusal', 'ns'],
    Object.entries(refusalNs).map(([name, ns]) => [name, short(ns)]),
  )
  console.log('\n10,000 of them')
  table(
    ['each', 'bytes', 'timers'],
    Object.entries(heap).map(([name, { bytes, timers }]) => [name, short(bytes), String(timers)]),
  )
  return { lines, addedNs, refusalNs, heap }
}
