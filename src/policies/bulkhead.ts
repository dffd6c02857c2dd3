// A cap on outstanding calls, without a queue. A slot is held until the *work* settles, although the caller may have been answered long ago:
// what a peer has to carry is the work.

import { type AbortWatcher, type CallContext, watchAbort } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, layerPrototype, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal, refuse } from '../core/handler.ts'
import { countOption, knownOptions } from '../core/options.ts'
import { createError } from '../errors/classes.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of the bulkhead. */
export interface BulkheadOptions extends Seams {
  /** How many calls may be outstanding. Default 100. */
  readonly maxOutstanding?: number | undefined
}

/** A bulkhead is a layer with figures. One bulkhead may be given to several pipelines: they share its slots. */
export interface Bulkhead extends Layer, Describable<LayerDescription> {
  /** Slots taken now. */
  readonly outstanding: number
  /** Of these, work whose caller was answered already. */
  readonly abandoned: number
  readonly maxOutstanding: number
}

/** Refuses a call beyond the cap at once, with `OUTSTANDING_LIMIT`. */
export function bulkhead(options: BulkheadOptions = {}): Bulkhead {
  knownOptions('bulkhead', options, ['maxOutstanding', ...SEAMS])
  const slots = new Slots(countOption('maxOutstanding', options.maxOutstanding, 100), world(options))
  const layer: Layer = (next) => (request, context) => slots.run(next, request, context)
  return describedBy(layer as Bulkhead, slots, PROTOTYPE)
}

class Slots implements Subject {
  readonly max: number
  readonly #world: World
  taken = 0
  abandoned = 0

  constructor(max: number, seen: World) {
    this.max = max
    this.#world = seen
  }

  run<Req, Res, C extends CallContext>(next: Handler<Req, Res, C>, request: Req, context: C): Promise<Res> | Refusal {
    if (this.taken >= this.max) return refuse(() => full(context, this.max))
    this.taken++
    let work: Promise<Res> | Refusal
    try {
      work = next(request, context)
    } catch (error) {
      this.taken--
      return Promise.reject(error)
    }
    if (isRefusal(work)) {
      this.taken--
      return work
    }
    const slot = new Slot(this, context)
    // Never kept in a field: V8 puts a closure that is assigned to a property into old space, where each one would keep its
    // whole call from the quick collector.
    const settled = (): void => slot.settle()
    work.then(settled, settled)
    watchAbort(context, slot)
    return work
  }

  describe(): LayerDescription {
    const { max, taken, abandoned } = this
    return { layer: 'bulkhead', options: { maxOutstanding: max }, state: { outstanding: taken, abandoned } }
  }

  left(context: CallContext): void {
    this.abandoned++
    if (this.#world.events.heard)
      this.#world.events.emit({
        type: 'abandoned',
        running: this.abandoned,
        service: context.service,
        operation: context.operation,
      })
  }
}

const PROTOTYPE: object = layerPrototype<Slots>({
  outstanding: (slots) => slots.taken,
  abandoned: (slots) => slots.abandoned,
  maxOutstanding: (slots) => slots.max,
})

// One object a call: it frees the slot once the work and all that was tracked in it are over.
class Slot implements AbortWatcher {
  nextWatcher: AbortWatcher | undefined
  private readonly slots: Slots
  private readonly context: CallContext
  private held: boolean
  private left: boolean

  constructor(slots: Slots, context: CallContext) {
    this.nextWatcher = undefined
    this.slots = slots
    this.context = context
    this.held = true
    this.left = false
  }

  onAborted(): void {
    if (!this.held || this.left) return
    this.left = true
    this.slots.left(this.context)
  }

  settle(): void {
    const { tracked } = this.context
    if (tracked === undefined) this.free()
    else tracked.then(() => (this.context.tracked === tracked ? this.free() : this.settle()))
  }

  private free(): void {
    // A thenable may settle twice.
    if (!this.held) return
    this.held = false
    this.slots.taken--
    if (this.left) this.slots.abandoned--
  }
}

function full(context: CallContext, max: number): unknown {
  return createError({
    code: 'OUTSTANDING_LIMIT',
    message: `${max} calls are outstanding, and no more are let out`,
    service: context.service,
    operation: context.operation,
    stack: false,
  })
}
