// The server side of a contract: routes, validates, runs handlers under the caller's deadline, and answers in the words of the taxonomy.
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts'
import { DESCRIBE, type Describable, type Description } from '../core/describe.ts'
import { DEADLINE_HEADER, routeOf } from '../core/http-wire.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { endsWithin } from '../core/patience.ts'
import { type FetchHandler, fetchHandler } from './server/fetch.ts'
import type { HandlerContext, TransactionHandlerContext } from './server/handler-context.ts'
import type { Idempotency, IdempotencyPlace, KeyedRequest } from './server/idempotent.ts'
import { InFlight } from './server/in-flight.ts'
import { type Listening, type ListenOptions, listen } from './server/listen.ts'
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

/** One handler for each operation, where the adapter keeps answers. Operations that stream have no transaction. */
export type TransactionHandlers<Ops extends OperationDefinitions, Tx> = {
  readonly [K in keyof Ops]: (
    input: HandlerInput<Ops[K]>,
    context: Ops[K] extends { readonly streaming: 'client' | 'server' | 'both' }
      ? HandlerContext<Ops[K]>
      : TransactionHandlerContext<Tx, Ops[K]>,
  ) => HandlerOutput<Ops[K]> | PromiseLike<HandlerOutput<Ops[K]>>
}

/** Options of a server adapter that keeps answers, for callers that send an `Idempotency-Key`. */
export interface IdempotencyOptions<Tx> {
  /**
   * Each operation that does not stream runs in a transaction of this store, `context.tx`. Where the caller sends an `Idempotency-Key`, the answer becomes part of it: a
   * repetition is given the very same answer, with `Idempotency-Replayed: true`, and nothing is done. Kept are answers of success and declared failures; an error of any other kind
   * undoes the transaction and keeps nothing, so that a repetition is a new try. One with another path, content type or body: 422 (`KEY_REUSED`); one that is still being
   * worked on: 409 (`IN_PROGRESS`) with `Retry-After`. GET and HEAD ignore the key; operations that stream refuse it (400).
   *
   * A handler keeps its transaction, and its key, until it ends: heed `context.signal`. One that does not is left alone 30 s after nobody waits for it any more, and its transaction
   * is undone, where handles can say that it is over (`handlesEnd`: SQLite, memory); elsewhere it keeps its connection for as long as it runs.
   */
  readonly idempotency: IdempotencyPlace<Tx>
  /**
   * Who asks: a tenant, a user, an account; a FairleadError that it throws is the answer. Keys of different callers never meet; only a digest is stored. Without it all callers of an operation share their keys, so that
   * one who guesses the key and request of another is shown the answer.
   */
  readonly idempotencyScope?: ((request: KeyedRequest) => string) | undefined
  /** Refuse calls without a key, of operations that the contract does not call idempotent, with 400. Default false. */
  readonly requireIdempotencyKey?: boolean | undefined
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
  /** Chance, for tests: how long a transaction waits before it is run again. */
  readonly random?: Random | undefined
  /** Ids. It has no use for it: it is taken so that what others take can be spread. */
  readonly newId?: (() => string) | undefined
}

/** Serves a contract. */
export interface ServerAdapter extends Closable, Describable<Description> {
  readonly service: string
  /** A listener for `http.createServer(adapter.node())`; https and http2 as well. */
  node(): NodeListener
  /**
   * Listens with a server of its own and, with `register`, announces it: at SIGTERM it tells that it is draining, waits until clients can have seen it, deregisters, and
   * closes once what is in flight is answered. The adapter is closed with it.
   * @throws FairleadError `INVALID_OPTIONS`; what the operating system says of the port; with `required` what the registrar rejects with
   * @example const { url, leave } = await adapter.listen({ port: 8080, register: { registrar } })
   */
  listen(options?: ListenOptions): Promise<Listening>
  /** For servers that speak the Fetch API. Bound: it may be passed on. */
  readonly fetch: FetchHandler
  /** Requests in flight: being worked on, or still being answered. */
  readonly inFlight: number
  /** Refuses new requests with 503, and resolves when those in flight are answered, or after `drainMs`: `inFlight` tells. Stop listening afterwards. */
  close(): Promise<void>
}

type GivenIdempotency = {
  readonly [K in keyof IdempotencyOptions<unknown>]?: IdempotencyOptions<unknown>[K] | undefined
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
  'random',
  'newId',
  'idempotency',
  'idempotencyScope',
  'requireIdempotencyKey',
]

/**
 * Serves a contract over HTTP.
 * @throws FairleadError `INVALID_OPTIONS` where an option makes no sense, a handler is missing, or one is too many
 * @example http.createServer(createServerAdapter(Inventory, { stock: ({ sku }) => levels.get(sku) }).node()).listen(8080)
 */
export function createServerAdapter<Ops extends OperationDefinitions>(
  contract: Contract<Ops>,
  handlers: Handlers<NoInfer<Ops>>,
  options?: ServerAdapterOptions & { readonly [K in keyof IdempotencyOptions<unknown>]?: undefined },
): ServerAdapter
/**
 * Serves a contract over HTTP, each operation in a transaction, and each request that names itself by an `Idempotency-Key` once.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example createServerAdapter(Orders, { place: async (order, { tx }) => { ... } }, { idempotency: store, idempotencyScope: ({ headers }) => headers['x-tenant'] ?? '-' })
 */
export function createServerAdapter<Ops extends OperationDefinitions, Tx>(
  contract: Contract<Ops>,
  handlers: TransactionHandlers<NoInfer<Ops>, NoInfer<Tx>>,
  options: ServerAdapterOptions & IdempotencyOptions<Tx>,
): ServerAdapter
export function createServerAdapter<Ops extends OperationDefinitions>(
  contract: Contract<Ops>,
  handlers: object,
  options: ServerAdapterOptions & GivenIdempotency = {},
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
    idempotency: idempotencyOf(options, clock),
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
    listen: (given) => listen({ service: contract.service, listener, clock, drainMs, close: end.close }, given),
    fetch: fetchHandler(serving, inFlight),
    get inFlight() {
      return inFlight.count
    },
    ...end,
    [DESCRIBE]: () => describeAdapter(contract.service, operations, serving, closing),
  }
}

function idempotencyOf(options: ServerAdapterOptions & GivenIdempotency, clock: Clock): Idempotency | undefined {
  const { idempotency: place, idempotencyScope: scope, requireIdempotencyKey: required, random } = options
  if (random !== undefined && typeof random !== 'function') throw invalidOption('random', random, 'give a function')
  if (place === undefined) {
    for (const option of ['idempotencyScope', 'requireIdempotencyKey'] as const)
      if (options[option] !== undefined)
        throw invalidOption(
          option,
          options[option],
          'it is about the answers that are kept: give `idempotency` as well',
        )
    return undefined
  }
  if (typeof place?.transaction !== 'function' || typeof place.idempotency?.reserve !== 'function')
    throw invalidOption('idempotency', place, 'give a store: postgresStore(...), memoryStore() or another one')
  if (scope !== undefined && typeof scope !== 'function')
    throw invalidOption('idempotencyScope', scope, 'give a function of the request')
  if (required !== undefined && typeof required !== 'boolean')
    throw invalidOption('requireIdempotencyKey', required, 'give true or false')
  return { place, scope, required: required === true, clock, random: random ?? systemRandom, purgeAt: 0 }
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
  const { basePath, maxBodyBytes, maxConcurrent, maxDeadlineMs, deadlineHeader, exposeErrors, inFlight, idempotency } =
    serving
  return {
    what: 'server-adapter',
    name: service,
    layers: [],
    options: {
      basePath,
      maxBodyBytes,
      maxConcurrent,
      maxDeadlineMs,
      deadlineHeader,
      exposeErrors,
      ...(idempotency === undefined
        ? {}
        : {
            idempotency: {
              key: idempotency.required ? 'required' : 'optional',
              scoped: idempotency.scope !== undefined,
            },
          }),
    },
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
