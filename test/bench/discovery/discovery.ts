// The bench of discovery.
import type { Line } from '../lines.ts'
import { place } from '../place.ts'
import { benchPick, PICK_WORKERS } from './pick.ts'

/** What to run. */
export interface DiscoveryBenchOptions {
  readonly quick: boolean
  /** `pick`, or all. */
  readonly only: string | undefined
}

/** Runs the bench of discovery. */
export async function benchDiscovery({
  quick,
  only,
}: DiscoveryBenchOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  const where = await place('20', [], PICK_WORKERS, { area: 'discovery' })
  const lines: Line[] = []
  const report: Record<string, unknown> = { nodes: { [where.version]: where.picked } }
  if (only === undefined || only === 'pick') {
    const { lines: found, ...rest } = await benchPick(where, quick)
    lines.push(...found)
    report['pick'] = rest
  }
  return { lines, ...report }
}
