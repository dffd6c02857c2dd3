// Tells of each call. Where nobody listens it costs one check.
import type { CallContext } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { isRefusal, type Layer } from '../core/handler.ts'
import { isFairleadError } from '../errors/base.ts'
import { type Seams, type World, world } from './seams.ts'

/** Emits `call` for each call that was let out, and `refused` for each that was not. */
export function telemetry(options: Seams = {}): Layer & Describable<LayerDescription> {
  return telemetryLayer(world(options))
}

const SUBJECT: Subject = {
  describe: () => ({ layer: 'telemetry', options: { channel: 'fairlead:event' } }),
}

/** As `telemetry`, in a given world. */
export function telemetryLayer(seen: World): Layer & Describable<LayerDescription> {
  const { clock, events } = seen
  const layer: Layer = (next) => (request, context) => {
    if (!events.heard) return next(request, context)
    const began = clock.now()
    const result = next(request, context)
    if (isRefusal(result)) {
      const { refused } = result
      events.emit({ ...named(context), type: 'refused', code: isFairleadError(refused) ? refused.code : 'unknown' })
      return result
    }
    result.then(
      () => events.emit({ ...named(context), type: 'call', elapsedMs: clock.now() - began }),
      (error) => events.emit({ ...named(context), type: 'call', elapsedMs: clock.now() - began, error }),
    )
    return result
  }
  return describedBy(layer, SUBJECT)
}

function named(context: CallContext): { readonly service: string; readonly operation: string } {
  return { service: context.service, operation: context.operation }
}
