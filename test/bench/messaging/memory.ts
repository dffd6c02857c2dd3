// Within one process: messages through the memory transport and the whole consumer, beside a bare EventEmitter with a queue and workers.
import { join } from 'node:path'
import { type Line, line, short, table } from '../lines.ts'
import type { Place } from '../place.ts'
import { startCrew } from '../rounds.ts'
import { estimate, median, quotients } from '../statistics.ts'

/** Workers of this part, for `place`. */
export const MEMORY_WORKERS: Readonly<Record<string, string>> = { memory: 'test/bench/messaging/memory.worker.ts' }

interface Ask {
  readonly ms: number
  readonly concurrency: number
  readonly handler: 'at once' | 'a turn'
}

interface Answer {
  readonly rate: number
  readonly cpuUs: number
}

/** One way of messages in one setting. */
export interface MemoryRow {
  readonly way: string
  readonly handler: string
  readonly concurrency: number
  readonly rounds: number
  readonly perSecond: number
  /** Of the rate of the bare loop in the same rounds. */
  readonly ofBare: number
  readonly cpuUs: number
  /** CPU time of the bare loop, of that of this one: what the ratio of the rates would be on a machine that has nothing else to do. */
  readonly cpuOfBare: number
}

/** What was measured on one Node. */
export interface MemoryReport {
  readonly lines: readonly Line[]
  readonly rows: readonly MemoryRow[]
}

const BARE = 'bare loop'
const WAYS = [BARE, 'A/A control', 'published', 'published, zod', 'ready-made', 'ready-made, zod']
const HELD = ['published', 'ready-made']
// `a turn`: the handler waits for the event loop once, as any handler does that asks somebody something. `at once`: it waits for nothing, so that
// the bare loop is three promise jobs and nothing else; shown, and held against no line.
const SETTINGS: readonly Pick<Ask, 'handler' | 'concurrency'>[] = [
  { handler: 'a turn', concurrency: 10 },
  { handler: 'a turn', concurrency: 100 },
  { handler: 'at once', concurrency: 10 },
]

/** Measures and prints. */
export async function benchMemory(where: Place, quick: boolean): Promise<MemoryReport> {
  const part = `memory, ${where.version}`
  const lines: Line[] = []
  const rows: MemoryRow[] = []
  const ms = quick ? 60 : 120
  const crew = await startCrew<Ask, Answer>(
    WAYS,
    (name) => ({ file: join(where.folder, 'memory.js'), node: where.node, args: [name] }),
    () =>
      SETTINGS.flatMap((setting) => [
        { ...setting, ms: quick ? 150 : 400 },
        { ...setting, ms },
      ]),
  )
  try {
    for (const setting of SETTINGS) {
      const answers = await crew.rounds(WAYS, { ...setting, ms }, quick ? 7 : 11)
      const values = (way: string, what: keyof Answer): readonly number[] =>
        (answers.get(way) ?? []).map((answer) => answer[what])
      const { handler, concurrency } = setting
      if (handler === 'a turn')
        for (const way of HELD)
          lines.push(
            line(
              `${part}, ${concurrency} at once`,
              `messages/s: ${way} / bare loop`,
              'at least',
              0.25,
              quotients(values(way, 'rate'), values(BARE, 'rate')),
            ),
          )
      const found = WAYS.map((way): MemoryRow => {
        const rates = values(way, 'rate')
        return {
          way,
          handler,
          concurrency,
          rounds: rates.length,
          perSecond: median(rates),
          ofBare: median(quotients(rates, values(BARE, 'rate'))),
          cpuUs: median(values(way, 'cpuUs')),
          cpuOfBare: median(quotients(values(BARE, 'cpuUs'), values(way, 'cpuUs'))),
        }
      })
      rows.push(...found)
      const control = estimate(quotients(values('A/A control', 'rate'), values(BARE, 'rate')))
      console.log(
        `\n${part}, ${concurrency} handlers at once, each ${handler === 'a turn' ? 'waits one turn of the event loop' : 'ends at once'}; the control's 95 % interval is ${short(control.low)} .. ${short(control.high)}`,
      )
      table(
        ['way', 'messages/s', 'of bare', 'CPU us/message', 'bare CPU / CPU', 'rounds'],
        found.map((row) => [
          row.way,
          row.perSecond.toFixed(0),
          short(row.ofBare),
          short(row.cpuUs),
          short(row.cpuOfBare),
          String(row.rounds),
        ]),
      )
    }
    return { lines, rows }
  } finally {
    await crew.stop()
  }
}
