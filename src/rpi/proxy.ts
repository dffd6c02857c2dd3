// A typed object with a method for each operation of a contract. The network is not hidden: every method takes options and can fail in the named ways.
import type { RpiTransport } from '../core/contracts/rpi.ts'
import { DESCRIBE, type Describable, type Description } from '../core/describe.ts'
import { durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { createError } from '../errors/classes.ts'
import type { CacheOptions } from '../policies/cache.ts'
import type { CallOptions, CallTemplate } from '../policies/call.ts'
import type { CoalesceOptions } from '../policies/coalesce.ts'
import type { Fallback } from '../policies/fallback.ts'
import {
  type OperationPolicies,
  STANDARD_OPTIONS,
  type Standard,
  type StandardOptions,
  standard,
} from '../policies/standard.ts'
import { type Callable, type CallResult, checkCallOptions, type Detailed } from './callable.ts'
import { Gate, Invoker, type Shared, transportHandler } from './invoker.ts'
import type {
  CallerInput,
  CallerOutput,
  Contract,
  Operation,
  OperationDefinition,
  OperationDefinitions,
} from './types.ts'

type Input<D> = undefined extends CallerInput<D> ? [input?: CallerInput<D>] : [input: CallerInput<D>]
type InputAndOptions<D> =
  undefined extends CallerInput<D>
    ? [input?: CallerInput<D>, options?: CallOptions]
    : [input: CallerInput<D>, options?: CallOptions]

/** One operation: `proxy.reserve(input, options?)`, and the same with `detailed`, `result` and `with`. */
export interface ProxyMethod<D extends OperationDefinition> extends Callable<InputAndOptions<D>, CallerOutput<D>> {
  /** The same with options for the calls made through it. */
  with(options: CallOptions): Callable<Input<D>, CallerOutput<D>>
}

/** A method for each operation; see `close` and `describe`. It is frozen, has no prototype and is no thenable. */
export type Proxied<Ops extends OperationDefinitions> = { readonly [K in keyof Ops]: ProxyMethod<Ops[K]> } & {
  [Symbol.asyncDispose](): Promise<void>
} & Describable<Description>

/** Options of one operation. */
export interface ProxyOperationOptions<D extends OperationDefinition = OperationDefinition> {
  /** Default: that of the proxy. `false`: only an inherited deadline counts. */
  readonly deadlineMs?: number | false | undefined
  /** Answers in place of a failure, in this order. */
  readonly fallback?: readonly Fallback<CallerOutput<D>>[] | undefined
  /** For idempotent operations. */
  readonly cache?: CacheOptions<CallerInput<D>> | undefined
  /** Joins calls with one key at one time. For idempotent operations. */
  readonly coalesce?: CoalesceOptions<CallerInput<D>> | undefined
}

/** Options of a proxy: those of the standard pipeline, shared by all its operations, and what belongs to one operation. Retries are on by default. */
export interface ProxyOptions<Ops extends OperationDefinitions> extends StandardOptions {
  /** How the service is reached. It is not closed with the proxy: others may use it. */
  readonly transport: RpiTransport
  readonly operations?: { readonly [K in keyof Ops]?: ProxyOperationOptions<Ops[K]> | undefined } | undefined
  /** Validates what is sent before it is sent. Default true; the service validates as well. */
  readonly validateInput?: boolean | undefined
  /** Validates what comes back. Default true. Without it the types are only believed. */
  readonly validateOutput?: boolean | undefined
}

const OPTIONS = ['transport', 'operations', 'validateInput', 'validateOutput', ...STANDARD_OPTIONS]
const OPERATION_OPTIONS = ['deadlineMs', 'fallback', 'cache', 'coalesce']

/**
 * Makes a proxy of a service. Its operations share one circuit breaker, one cap and one retry budget.
 *
 * Input that breaks its schema is refused with `INVALID_INPUT` before anything is sent or counted. A reply that breaks its schema is `REPLY_INVALID`.
 * Declared failures reject with `DECLARED_FAILURE`: see `isFailure`. Fields that the schema does not know are no error of ours.
 * @throws FairleadError `INVALID_OPTIONS`; a property that is no operation throws `UNKNOWN_OPERATION`
 * @example
 * const inventory = createProxy(Inventory, { transport: httpTransport({ baseUrl: 'http://inventory:8080' }), deadlineMs: 2_000 })
 * const { level } = await inventory.stock({ sku: 'A-1' }, { deadlineMs: 300 })
 */
export function createProxy<Ops extends OperationDefinitions>(
  contract: Contract<Ops>,
  options: ProxyOptions<NoInfer<Ops>>,
): Proxied<Ops> {
  knownOptions('createProxy', options ?? {}, OPTIONS)
  const { transport, operations: own = {}, validateInput = true, validateOutput = true, ...rest } = options ?? {}
  if (typeof transport?.invoke !== 'function')
    throw invalidOption('transport', transport, 'give a transport: httpTransport(...)')
  for (const [option, value] of Object.entries({ validateInput, validateOutput }))
    if (typeof value !== 'boolean') throw invalidOption(option, value, 'give true or false')
  const operations = contract.operations as unknown as Readonly<Record<string, Operation>>
  for (const name of Object.keys(own))
    if (operations[name] === undefined)
      throw invalidOption(`operations.${name}`, 'given', `${contract.service} offers no such operation`)
  const { service } = contract
  const built = standard(service, { ...rest, retry: rest.retry ?? {} }, transport.pick?.(service))
  const gate = new Gate()
  const shared: Shared = { transport, validateInput, validateOutput, gate }
  const make = (name: string): Made =>
    makeOperation(
      operations[name] as Operation,
      (own as Record<string, ProxyOperationOptions | undefined>)[name] ?? {},
      built,
      shared,
    )
  const made = Object.fromEntries(Object.keys(operations).map((name) => [name, make(name)]))
  return proxyObject(service, made, gate, () => describeProxy(service, transport, made)) as unknown as Proxied<Ops>
}

interface Made {
  readonly method: Method
  describe(): Readonly<Record<string, unknown>>
}

function makeOperation(operation: Operation, given: ProxyOperationOptions, built: Standard, shared: Shared): Made {
  const at = `operations.${operation.name}`
  knownOptions(at, given, OPERATION_OPTIONS)
  const own: ProxyOperationOptions & OperationPolicies =
    operation.streaming === 'none' ? given : { ...given, streams: true }
  const { fallback, cache, coalesce } = own
  const policies = Object.entries({ fallback, cache, coalesce }).filter(([, each]) => each !== undefined)
  for (const [policy, each] of policies) {
    if (operation.streaming !== 'none')
      throw invalidOption(`${at}.${policy}`, each, 'a stream can be read only once; leave it out')
    if (policy !== 'fallback' && !operation.idempotent)
      throw invalidOption(
        `${at}.${policy}`,
        each,
        'the contract does not say that the operation is idempotent: two calls are not one',
      )
  }
  const deadlineMs =
    own.deadlineMs === false ? Infinity : durationOption(`${at}.deadlineMs`, own.deadlineMs, built.deadlineMs)
  const template: CallTemplate = {
    service: operation.service,
    operation: operation.name,
    idempotent: operation.idempotent,
    deadlineMs,
    clock: built.clock,
    resolver: shared.transport.resolver?.(operation.service),
  }
  const pipeline = built.pipeline(own, transportHandler(operation, shared))
  return {
    method: methodOf(operation.name, new Invoker(operation, pipeline, template, shared)),
    describe: () => ({ idempotent: operation.idempotent, deadlineMs, layers: built.layers(own) }),
  }
}

interface Method extends Callable<readonly [input?: unknown, options?: CallOptions | undefined], unknown> {
  with(options: CallOptions): Callable<readonly [input?: unknown], unknown>
}

function methodOf(name: string, invoker: Invoker): Method {
  const method = Object.assign(
    (input?: unknown, options?: CallOptions): Promise<unknown> => invoker.call(input, options),
    {
      detailed: (input?: unknown, options?: CallOptions): Promise<Detailed<unknown>> =>
        invoker.detailed(input, options),
      result: (input?: unknown, options?: CallOptions): Promise<CallResult<unknown>> => invoker.result(input, options),
      with: (options: CallOptions) => {
        checkCallOptions(options)
        return Object.assign((input?: unknown): Promise<unknown> => invoker.call(input, options), {
          detailed: (input?: unknown): Promise<Detailed<unknown>> => invoker.detailed(input, options),
          result: (input?: unknown): Promise<CallResult<unknown>> => invoker.result(input, options),
        })
      },
    },
  )
  return Object.freeze(Object.defineProperty(method, 'name', { value: name }))
}

// Names that the language and its tools ask of any object. All others are misspelt operations.
const ASKED = new Set([
  'then',
  'catch',
  'finally',
  'toJSON',
  'toString',
  'valueOf',
  'constructor',
  'prototype',
  'inspect',
  'asymmetricMatch',
  'nodeType',
  'tagName',
  '$$typeof',
  'length',
  'href', // util.inspect, so console.log as well: is it a URL?
  'onModuleInit', // containers of dependency injection ask whatever they hold for its life-cycle hooks
  'onModuleDestroy',
  'onApplicationBootstrap',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
  'ngOnDestroy',
])

// Own properties are found without the trap; only what is missing goes to the prototype, which says so.
function proxyObject(
  service: string,
  made: Readonly<Record<string, Made>>,
  gate: Gate,
  description: () => Description,
): object {
  const missing = new Proxy(Object.freeze(Object.create(null) as object), {
    get(_, name) {
      if (typeof name === 'symbol' || ASKED.has(name)) return undefined
      throw createError({
        code: 'UNKNOWN_OPERATION',
        message: `${service} offers no operation ${JSON.stringify(name)}; it offers ${Object.keys(made).join(', ')}`,
        service,
        operation: name,
      })
    },
  })
  const proxy = Object.create(missing) as object
  for (const [name, { method }] of Object.entries(made))
    Object.defineProperty(proxy, name, { value: method, enumerable: true })
  Object.defineProperty(proxy, Symbol.asyncDispose, { value: () => gate.close() })
  Object.defineProperty(proxy, DESCRIBE, { value: description })
  return Object.freeze(proxy)
}

function describeProxy(service: string, transport: RpiTransport, made: Readonly<Record<string, Made>>): Description {
  const operations = Object.fromEntries(Object.entries(made).map(([name, each]) => [name, each.describe()]))
  const [first] = Object.values(operations)
  return {
    what: 'proxy',
    name: service,
    transport: transport.name,
    layers: (first?.['layers'] ?? []) as Description['layers'],
    operations,
  }
}

/**
 * Closes a proxy: calls from now on are refused with `SHUTDOWN`; resolves when those under way are over. The transport stays open.
 * A function, and no method, because an operation may be called `close`. `await using` does the same.
 */
export function close(proxy: { [Symbol.asyncDispose](): Promise<void> }): Promise<void> {
  return Promise.resolve(proxy[Symbol.asyncDispose]())
}
