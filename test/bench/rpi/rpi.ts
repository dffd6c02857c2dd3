// The bench of rpi: in process, then over loopback HTTP on two Nodes, because they come with two majors of undici.
import type { Line } from '../lines.ts'
import { type Place, place } from '../place.ts'
import { benchCalls, CALL_WORKERS } from './calls.ts'
import { benchHttp, HTTP_PEERS, HTTP_WORKERS } from './http.ts'

// undici 7 and undici 8.
const NODES = ['20', '24']

/** What to run. */
export interface RpiOptions {
  readonly quick: boolean
  /** `calls`, `http`, or both. */
  readonly only: string | undefined
}

/** Runs the bench of rpi. */
export async function benchRpi({
  quick,
  only,
}: RpiOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  const lines: Line[] = []
  const places: Place[] = []
  for (const major of NODES) places.push(await place(major, HTTP_PEERS, { ...CALL_WORKERS, ...HTTP_WORKERS }))
  const report: Record<string, unknown> = {
    nodes: Object.fromEntries(places.map(({ version, picked }) => [version, picked])),
  }
  if (only !== 'http') {
    const { lines: found, ...rest } = await benchCalls(places[0] as Place, quick)
    lines.push(...found)
    report['calls'] = rest
  }
  if (only !== 'calls') {
    for (const where of places) {
      const { lines: found, rows } = await benchHttp(where, quick)
      lines.push(...found)
      report[`http ${where.version}`] = rows
    }
  }
  return { lines, ...report }
}
