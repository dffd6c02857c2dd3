// RPI over HTTP/1.1 and HTTP/2, on undici's dispatcher.
import { type CallContext, watchAbort } from '../../core/context.ts'
import type { Resolver } from '../../core/contracts/balancer.ts'
import type { OperationDescriptor, RpiReply, RpiTransport } from '../../core/contracts/rpi.ts'
import type { Handler, Layer } from '../../core/handler.ts'
import { keyed } from '../../core/keyed.ts'
import { type Closable, closable } from '../../core/lifecycle.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError, stamp } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { pick } from '../../policies/pick.ts'
import { Exchange, SPENT } from './exchange.ts'
import { type HttpSettings, type HttpTransportOptions, httpSettings } from './options.ts'
import { type Outgoing, outgoing, type Plan, planOf } from './plan.ts'
import { createPools, type Pools, type Route } from './pools.ts'
import { StreamExchange } from './stream-exchange.ts'

/** `httpTransport` as made: a transport with a layer and a resolver a service where it has discovery. */
export interface HttpTransport extends RpiTransport, Closable {
  readonly name: 'http'
  /** With discovery: the layer that picks an endpoint for each attempt. One a service, made once. */
  pick(service: string): Layer | undefined
  /** With discovery: the resolver that this layer asks. */
  resolver(service: string): Resolver | undefined
  close(): Promise<void>
}

/**
 * Calls over HTTP, by base URL or by discovery. Loads undici on the first call.
 *
 * The effect of a failed call is measured: `none` proves that not a byte of the request was written.
 * A call settles as soon as its attempt is aborted, whatever the connection does.
 * @throws FairleadError INVALID_OPTIONS
 * @example createProxy(Inventory, { transport: httpTransport({ baseUrl: 'http://inventory:8080' }) })
 */
export function httpTransport(options: HttpTransportOptions): HttpTransport {
  return new Transport(httpSettings(options))
}

interface Picking {
  readonly resolver: Resolver
  readonly layer: Layer
  readonly handler: Handler<Unpicked, RpiReply>
}

interface Unpicked {
  readonly operation: OperationDescriptor
  readonly input: unknown
}

// Services are few; names that come from outside are bounded all the same.
const MOST_SERVICES = 10_000

class Transport implements HttpTransport {
  readonly name = 'http'
  readonly #settings: HttpSettings
  readonly #plans = new WeakMap<OperationDescriptor, Plan>()
  readonly #closing: Closable
  readonly #picking: { get(service: string): Picking } | undefined
  #pools: Pools | undefined
  #closed = false

  constructor(settings: HttpSettings) {
    this.#settings = settings
    const { discovery, clock, stickyKey } = settings
    this.#picking =
      discovery === undefined
        ? undefined
        : keyed<Picking>(MOST_SERVICES, (service) => {
            const resolver = discovery.resolver(service)
            resolver.onRemoved?.(({ id }) => this.#pools?.release(id, service))
            const layer = pick(resolver, { clock, stickyKey })
            // A pipeline of one's own gives the operation along.
            const bare =
              stickyKey === undefined
                ? layer
                : pick(resolver, { clock, stickyKey: (call, context) => stickyKey((call as Unpicked).input, context) })
            return {
              resolver,
              layer,
              handler: bare<Unpicked, RpiReply, CallContext>((call, context) =>
                this.#send(call.operation, call.input, context),
              ),
            }
          })
    this.#closing = closable(async () => {
      this.#closed = true
      await this.#pools?.close()
    })
  }

  pick(service: string): Layer | undefined {
    return this.#picking?.get(service).layer
  }

  resolver(service: string): Resolver | undefined {
    return this.#picking?.get(service).resolver
  }

  invoke(operation: OperationDescriptor, input: unknown, context: CallContext): Promise<RpiReply> {
    // Without a pick around it (a pipeline of one's own) it picks for itself.
    if (this.#picking !== undefined && context.endpoint === undefined)
      return this.#picking.get(operation.service).handler({ operation, input }, context) as Promise<RpiReply>
    return this.#send(operation, input, context)
  }

  close(): Promise<void> {
    return this.#closing.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #send(operation: OperationDescriptor, input: unknown, context: CallContext): Promise<RpiReply> {
    // Measured from here on: as long as `onRequestStart` has not run, nothing has left the process.
    context.effect = 'none'
    const { aborted } = context
    if (aborted !== undefined) return Promise.reject(aborted.reason)
    let plan: Plan | undefined
    let route: Route
    let request: Outgoing
    try {
      if (this.#closed) throw createError({ code: 'SHUTDOWN', message: 'the HTTP transport is closed', stack: false })
      plan = this.#plans.get(operation)
      if (plan === undefined) {
        plan = planOf(operation, this.#settings)
        this.#plans.set(operation, plan)
      }
      if (plan.sendsStream && context.locals.has(SPENT)) return Promise.reject(context.locals.get(SPENT))
      this.#pools ??= createPools(this.#settings)
      route = this.#pools.route(context.endpoint, operation.service)
      request = outgoing(plan, this.#settings, input, context, route.host)
    } catch (error) {
      return Promise.reject(unsent(error, context))
    }
    return exchange(plan, this.#settings, route, request, context)
  }
}

function exchange(
  plan: Plan,
  settings: HttpSettings,
  route: Route,
  request: Outgoing,
  context: CallContext,
): Promise<RpiReply> {
  return new Promise((resolve, reject) => {
    const handler = new (plan.getsStream ? StreamExchange : Exchange)(plan, settings, context, request, resolve, reject)
    watchAbort(context, handler)
    try {
      route.dispatcher.dispatch(
        {
          origin: route.origin,
          path: request.target,
          method: plan.route.method,
          headers: request.headers,
          body: request.body,
          headersTimeout: 0,
          bodyTimeout: 0,
        },
        handler,
      )
    } catch (error) {
      handler.onResponseError(undefined, error as Error)
    }
  })
}

// Nothing was sent. What is not one of ours came out of the user's input: a getter, a toJSON.
function unsent(error: unknown, context: CallContext): Error {
  const { service, operation, attempt } = context
  const known = { service, operation, attempt, transport: 'http', idempotent: context.idempotent }
  return isFairleadError(error) ? stamp(error, known) : classify(error, { ...known, effect: 'none' })
}
