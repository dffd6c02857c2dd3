// The one shape on the call path. Policies, tracing and balancing are layers around a handler; the first in a list is the outermost.
import type { CallContext } from './context.ts'
import { DESCRIBE } from './describe.ts'

/**
 * A layer refuses by *returning* a Refusal, at once and without a promise: no throw on the way out.
 * Awaited, it throws its error like a rejected promise, so a layer written with plain `async`/`await` is right without knowing of it.
 */
export interface Refusal extends PromiseLike<never> {
  /** A FairleadError of kind `rejected`, made when it is first read. */
  readonly refused: unknown
}

/** Request and context to response. */
export type Handler<Req, Res, C extends CallContext = CallContext> = (
  request: Req,
  context: C,
) => Promise<Res> | Refusal

/** Handler to handler. Layers that make an answer themselves (fallback, cache, coalesce) cast it once to Res. */
export type Layer = <Req, Res, C extends CallContext>(next: Handler<Req, Res, C>) => Handler<Req, Res, C>

const BRAND = Symbol.for('fairlead.refusal')

class LazyRefusal implements Refusal {
  #make: (() => unknown) | undefined
  #error: unknown

  constructor(make: () => unknown) {
    this.#make = make
  }

  get refused(): unknown {
    if (this.#make !== undefined) {
      this.#error = this.#make()
      this.#make = undefined
    }
    return this.#error
  }

  get [BRAND](): true {
    return true
  }

  // Being a thenable is what makes a plain async layer right.
  then<A = never, B = never>(
    onFulfilled?: ((value: never) => A | PromiseLike<A>) | null | undefined,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null | undefined,
  ): Promise<A | B> {
    return Promise.reject(this.refused).then(onFulfilled, onRejected)
  }
}

/** Refuses a call. `make` builds the error when somebody reads it. */
export function refuse(make: () => unknown): Refusal {
  return new LazyRefusal(make)
}

/** Whether a handler refused. Holds across two copies of fairlead. */
export function isRefusal(result: unknown): result is Refusal {
  return result instanceof LazyRefusal || (typeof result === 'object' && result !== null && BRAND in result)
}

/** Wraps a handler in layers, first = outermost. What a handler or a user's layer throws at once becomes a rejection. */
export function compose<Req, Res, C extends CallContext>(
  layers: readonly Layer[],
  handler: Handler<Req, Res, C>,
): Handler<Req, Res, C> {
  return layers.reduceRight<Handler<Req, Res, C>>((next, layer) => {
    const wrapped = layer(next)
    // Ours (they can describe themselves) never throw where the next one does not.
    return DESCRIBE in layer ? wrapped : rejecting(wrapped)
  }, rejecting(handler))
}

function rejecting<Req, Res, C extends CallContext>(handler: Handler<Req, Res, C>): Handler<Req, Res, C> {
  return (request, context) => {
    try {
      return handler(request, context)
    } catch (error) {
      return Promise.reject(error)
    }
  }
}
