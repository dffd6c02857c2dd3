// Calls that ask the same at the same time become one call ("single flight"): a popular key does not hit the peer a thousand times.
import { FROM, type Provenance } from '../core/answer.ts'
import { detached } from '../core/async-context.ts'
import { type AbortableContext, type CallContext, createContext, effectSoFar } from '../core/context.ts'
import type { Deadline } from '../core/deadline.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer, type Refusal } from '../core/handler.ts'
import { invalidOption, knownOptions } from '../core/options.ts'
import { keyOfRequest } from './failures.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'

/** Options of coalescing. */
export interface CoalesceOptions<Req = never> extends Seams {
  /** Requests with an equal key share one call while it runs. Put in it all that the answer depends on, who asks included. */
  readonly key: (request: Req) => string
}

/**
 * Calls with an equal key share one flight and its result: the answer (not a copy), the error, the refusal. Once it is over the key is free.
 *
 * The flight belongs to nobody: it runs outside the async context of its callers, with the headers of the first. Each caller keeps its own
 * deadline and signal: when it leaves, it alone is answered. The deadline of the flight is the longest of those that joined, and moves
 * out when a caller with more time joins. It is aborted once all have left. A call with an idempotency key of its own is never shared.
 * @example coalesce({ key: ({ sku }: StockRequest) => sku })
 * @throws FairleadError `INVALID_OPTIONS`; a call rejects with `PROGRAMMING_ERROR` where `key` throws or gives no string
 */
export function coalesce<Req = never>(options: CoalesceOptions<Req>): Layer & Describable<LayerDescription> {
  knownOptions('coalesce', options, ['key', ...SEAMS])
  const { key: keyOf } = options
  if (typeof keyOf !== 'function')
    throw invalidOption('coalesce.key', keyOf, 'give a function from the request to a string')
  const flights = new Map<string, Flight>()
  const seen = world(options)
  const layer: Layer = (next) => (request, context) => {
    if (context.idempotencyKey !== undefined) return next(request, context)
    let key: string
    try {
      key = keyOfRequest(keyOf as (request: never) => string, request, 'coalesce', context)
    } catch (error) {
      return Promise.reject(error)
    }
    const flight = flights.get(key)
    if (flight === undefined) return takeOff(flights, key, next, request, context)
    return flight.join(context, seen) as Promise<never>
  }
  return described(layer, 'coalesce', {}, () => ({ flights: flights.size }))
}

// Reads through to the longest of those on board, so that a later attempt of the flight sees the time that a later caller brought.
class LongestDeadline implements Deadline {
  #longest: Deadline

  constructor(first: Deadline) {
    this.#longest = first
  }

  get at(): number {
    return this.#longest.at
  }

  remainingMs(): number {
    return this.#longest.remainingMs()
  }

  include(deadline: Deadline): void {
    if (deadline.at > this.#longest.at) this.#longest = deadline
  }
}

function takeOff<Req, Res, C extends CallContext>(
  flights: Map<string, Flight>,
  key: string,
  next: Handler<Req, Res, C>,
  request: Req,
  context: C,
): Promise<Res> | Refusal {
  const deadline = new LongestDeadline(context.deadline)
  const own = createContext({
    service: context.service,
    operation: context.operation,
    deadline,
    idempotent: context.idempotent,
    headers: context.headers,
    resolver: context.resolver,
  })
  const flight = new Flight(flights, key, own, deadline)
  // Set before the handler runs: who asks the same from within it must not take off again.
  flights.set(key, flight)
  let work: Promise<Res> | Refusal
  try {
    work = detached(() => next(request, own.context as C))
  } catch (error) {
    work = Promise.reject(error)
  }
  if (isRefusal(work)) {
    flight.refused(work)
    return work
  }
  flight.land(work)
  return flight.board(context, false) as Promise<Res>
}

class Flight {
  readonly #flights: Map<string, Flight>
  readonly #key: string
  readonly #own: AbortableContext
  readonly #deadline: LongestDeadline
  readonly #result: Promise<unknown>
  #settle: (work: Promise<unknown>) => void = () => {}
  #aboard = 0

  constructor(flights: Map<string, Flight>, key: string, own: AbortableContext, deadline: LongestDeadline) {
    this.#flights = flights
    this.#key = key
    this.#own = own
    this.#deadline = deadline
    this.#result = new Promise((resolve) => {
      this.#settle = resolve
    })
    const free = (): void => this.#free()
    // The result may reach nobody: all callers may have left.
    this.#result.then(free, free)
  }

  land(work: Promise<unknown>): void {
    this.#settle(work)
  }

  /** Refused at once: nobody but the first can be on board, unless the handler itself asked the same. */
  refused(refusal: Refusal): void {
    this.#free()
    if (this.#aboard > 0) this.#settle(Promise.reject(refusal.refused))
  }

  join(context: CallContext, { events }: World): Promise<unknown> {
    this.#deadline.include(context.deadline)
    if (events.heard)
      events.emit({ type: 'cache', service: context.service, operation: context.operation, outcome: 'coalesced' })
    return this.board(context, true)
  }

  board(context: CallContext, joined: boolean): Promise<unknown> {
    this.#aboard++
    return new Promise((resolve, reject) => {
      let aboard = true
      const leave = (): boolean => {
        if (!aboard) return false
        aboard = false
        this.#aboard--
        context.effect = effectSoFar(this.#own.context)
        context.endpoint = this.#own.context.endpoint
        return true
      }
      const stop = context.onAbort((reason) => {
        if (!leave()) return
        reject(reason)
        // Nobody waits for it any more. Whoever asks from now on gets a flight that has time.
        if (this.#aboard === 0) {
          this.#free()
          this.#own.abort(reason)
        }
      })
      this.#result.then(
        (answer) => {
          if (!leave()) return
          stop()
          const inside = this.#own.context.locals.get(FROM) as Provenance | undefined
          if (joined) context.locals.set(FROM, { from: 'coalesced', ageMs: inside?.ageMs } satisfies Provenance)
          else if (inside !== undefined) context.locals.set(FROM, inside)
          resolve(answer)
        },
        (error) => {
          if (!leave()) return
          stop()
          reject(error)
        },
      )
    })
  }

  #free(): void {
    if (this.#flights.get(this.#key) === this) this.#flights.delete(this.#key)
  }
}
