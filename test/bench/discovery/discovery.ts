// The bench of discovery.
import { type PartsOptions, type PartsReport, runParts } from '../parts.ts'
import { place } from '../place.ts'
import { benchConvergence } from './convergence.ts'
import { benchDispatch, DISPATCH_WORKERS } from './dispatch.ts'
import { benchPick, PICK_WORKERS } from './pick.ts'
import { benchTrouble, TROUBLE_WORKERS } from './trouble.ts'

/** Runs the bench of discovery. `only`: `pick`, `dispatch`, `trouble`, or all of these; or `convergence`. */
export async function benchDiscovery(options: PartsOptions): Promise<PartsReport> {
  if (options.only === 'convergence') return { lines: [], ...(await benchConvergence(options.quick)) }
  const workers = { ...PICK_WORKERS, ...DISPATCH_WORKERS, ...TROUBLE_WORKERS }
  const where = await place('20', [], workers, { area: 'discovery' })
  return runParts(where, { pick: benchPick, dispatch: benchDispatch, trouble: benchTrouble }, options)
}
