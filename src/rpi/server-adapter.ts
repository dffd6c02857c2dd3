// The server side of a contract: routes, validates, runs handlers under the caller's deadline, and answers in the words of the taxonomy.
import { type Clock, systemClock } from '../core/clock.ts'
import { DESCRIBE, type Describable, type Description } from '../core/describe.ts'
import { DEADLINE_HEADER, routeOf } from '../core/http-wire.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { endsWithin } from '../core/patience.ts'
import { type FetchHandler, fetchHandler } from './server/fetch.ts'
import type { HandlerContext } from './server/handler-context.ts'
import { InFlight } from './server/in-flight.ts'
import { type NodeListener, nodeListener } from './server/node.ts'
import { createRouter } from './server/router.ts'
import type { AnyHandler, Serving } from './server/serve.ts'
import type { Contract, HandlerInput, HandlerOutput, Operation, OperationDefinitions } from './types.ts'

/** One handler for each operation of a contract. */
export type Handlers<Ops extends OperationDefinitions> = {
  readonly [K in keyof Ops]: (
    input: HandlerInput<Ops[K]>,
    context: HandlerContext<Ops[K]>,
  ) => HandlerOutput<Ops[K]> | PromiseLike<HandlerOutput<Ops[K]>>
}

/** Options of a server adapter. */
export interface ServerAdapterOptions {
  /** What stands before the paths of the contract: `/api`. Default: nothing. */
  readonly basePath?: string | undefined
  /** Largest request body, in bytes; for streams the longest item. Default 1 MiB. Beyond it: 413. */
  readonly maxBodyBytes?: number | undefined
  /** Most requests served at once. Beyond it: 503 with `Retry-After`. Default: no limit. */
  readonly maxConcurrent?: number | undefined
  /** No request is worked on for longer, milliseconds; a caller's own deadline that is sooner wins. Default: the caller's alone. */
  readonly maxDeadlineMs?: number | undefined
  /** Which header carries the caller's remaining time. Default `x-request-timeout-ms`. */
  readonly deadlineHeader?: string | undefined
  /** Tells the caller the messages of errors, of unknown ones too; never a stack. Not for production. Default false. */
  readonly exposeErrors?: boolean | undefined
  /** Hears what a handler threw that is no declared failure, whole: the caller is not told. */
  readonly onError?:
    | ((error: unknown, where: { readonly service: string; readonly operation: string }) => void)
    | undefined
  /** How long `close` waits for requests in flight, milliseconds. Default 30,000. */
  readonly drainMs?: number | undefined
  /** Time, for tests. */
  readonly clock?: Clock | undefined
}

/** Serves a contract. */
export interface ServerAdapter extends Closable, Describable<Description> {
  readonly service: string
  /** A listener for `http.createServer(adapter.node())`; https and http2 as well. */
  node(): NodeListener
  /** For servers that speak the Fetch API. Bound: it may be passed on. */
  readonly fetch: FetchHandler
  /** Requests in flight: being worked on, or still being answered. */
  readonly inFlight: number
  /** Refuses new requests with 503, and resolves when those in flight are answered, or after `drainMs`: `inFlight` tells. Stop listening afterwards. */
  close(): Promise<void>
}

const OPTIONS = [
  'basePath',
  'maxBodyBytes',
  'maxConcurrent',
  'maxDeadlineMs',
  'deadlineHeader',
  'exposeErrors',
  'onError',
  'drainMs',
  'clock',
]

/**
 * Serves a contract over HTTP.
 * @throws FairleadError `INVALID_OPTIONS` where an option makes no sense, a handler is missing, or one is too many
 * @example http.createServer(createServerAdapter(Inventory, { stock: ({ sku }) => levels.get(sku) }).node()).listen(8080)
 */
export function createServerAdapter<Ops extends OperationDefinitions>(
  contract: Contract<Ops>,
  handlers: Handlers<NoInfer<Ops>>,
  options: ServerAdapterOptions = {},
): ServerAdapter {
  knownOptions('createServerAdapter', options, OPTIONS)
  const operations = Object.values(contract.operations) as unknown as readonly Operation[]
  const {
    basePath = '',
    deadlineHeader = DEADLINE_HEADER,
    exposeErrors = false,
    onError,
    clock = systemClock,
  } = options
  if (typeof basePath !== 'string' || (basePath !== '' && !/^(?:\/[^/?#\s]+)+$/.test(basePath)))
    throw invalidOption('basePath', basePath, "write it as '/api', without a slash at the end")
  if (typeof deadlineHeader !== 'string' || !/^[\w!#$%&'*+.^`|~-]+$/.test(deadlineHeader))
    throw invalidOption('deadlineHeader', deadlineHeader, 'give the name of a header')
  if (typeof exposeErrors !== 'boolean') throw invalidOption('exposeErrors', exposeErrors, 'give true or false')
  if (onError !== undefined && typeof onError !== 'function') throw invalidOption('onError', onError, 'give a function')
  const inFlight = new InFlight()
  let closing = false
  const serving: Serving = {
    router: createRouter(operations),
    handlers: checkedHandlers(contract.service, operations, handlers),
    basePath,
    maxBodyBytes: countOption('maxBodyBytes', options.maxBodyBytes, 1_048_576),
    maxConcurrent:
      options.maxConcurrent === undefined ? Infinity : countOption('maxConcurrent', options.maxConcurrent, 1),
    maxDeadlineMs: durationOption('maxDeadlineMs', options.maxDeadlineMs, Infinity),
    deadlineHeader: deadlineHeader.toLowerCase(),
    exposeErrors,
    onError,
    clock,
    inFlight,
    closing: () => closing,
  }
  const drainMs = durationOption('drainMs', options.drainMs, 30_000)
  const end = closable(async () => {
    closing = true
    await endsWithin(inFlight.idle(), drainMs, clock)
  })
  const listener = nodeListener(serving, inFlight)
  return {
    service: contract.service,
    node: () => listener,
    fetch: fetchHandler(serving, inFlight),
    get inFlight() {
      return inFlight.count
    },
    ...end,
    [DESCRIBE]: () => describeAdapter(contract.service, operations, serving, closing),
  }
}

function checkedHandlers(
  service: string,
  operations: readonly Operation[],
  handlers: object,
): Readonly<Record<string, AnyHandler>> {
  if (typeof handlers !== 'object' || handlers === null)
    throw invalidOption('handlers', handlers, 'give an object: operation to handler')
  const checked: Record<string, AnyHandler> = Object.create(null)
  for (const { name } of operations) {
    const handler: unknown = (handlers as Readonly<Record<string, unknown>>)[name]
    if (typeof handler !== 'function')
      throw invalidOption(`handlers.${name}`, handler, `give a function: ${service} offers ${name}`)
    checked[name] = (input, context) => handler.call(handlers, input, context)
  }
  for (const name of Object.keys(handlers))
    if (checked[name] === undefined)
      throw invalidOption(
        `handlers.${name}`,
        'a handler',
        `${service} offers no such operation; it offers ${Object.keys(checked).join(', ')}`,
      )
  return checked
}

function describeAdapter(
  service: string,
  operations: readonly Operation[],
  serving: Serving,
  closing: boolean,
): Description {
  const { basePath, maxBodyBytes, maxConcurrent, maxDeadlineMs, deadlineHeader, exposeErrors, inFlight } = serving
  return {
    what: 'server-adapter',
    name: service,
    layers: [],
    options: { basePath, maxBodyBytes, maxConcurrent, maxDeadlineMs, deadlineHeader, exposeErrors },
    operations: operations.map((operation) => {
      const { method, path } = routeOf(operation)
      return {
        name: operation.name,
        http: `${method} ${basePath}${path}`,
        idempotent: operation.idempotent,
        streaming: operation.streaming,
      }
    }),
    state: { inFlight: inFlight.count, closing },
  }
}
