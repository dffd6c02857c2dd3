// The bench of discovery.
import type { Line } from '../lines.ts'
import { place } from '../place.ts'
import { benchConvergence } from './convergence.ts'
import { benchDispatch, DISPATCH_WORKERS } from './dispatch.ts'
import { benchPick, PICK_WORKERS } from './pick.ts'
import { benchTrouble, TROUBLE_WORKERS } from './trouble.ts'

/** What to run. */
export interface DiscoveryBenchOptions {
  readonly quick: boolean
  /** `pick`, `dispatch`, `trouble`, or all of these; or `convergence`. */
  readonly only: string | undefined
}

/** Runs the bench of discovery. */
export async function benchDiscovery({
  quick,
  only,
}: DiscoveryBenchOptions): Promise<{ readonly lines: readonly Line[]; readonly [more: string]: unknown }> {
  if (only === 'convergence') return { lines: [], ...(await benchConvergence(quick)) }
  const workers = { ...PICK_WORKERS, ...DISPATCH_WORKERS, ...TROUBLE_WORKERS }
  const where = await place('20', [], workers, { area: 'discovery' })
  const lines: Line[] = []
  const report: Record<string, unknown> = { nodes: { [where.version]: where.picked } }
  for (const [part, bench] of Object.entries({ pick: benchPick, dispatch: benchDispatch, trouble: benchTrouble })) {
    if (only !== undefined && only !== part) continue
    const { lines: found, ...rest } = await bench(where, quick)
    lines.push(...found)
    report[part] = rest
  }
  return { lines, ...report }
}
