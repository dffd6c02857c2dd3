// A contract says once what callers and service have to agree on; proxies, server adapters and transports read it.
import { type HttpRoute, parseRoute, routeOf } from '../core/http-wire.ts'
import { invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { knownFields } from './known-fields.ts'
import type {
  AnySchema,
  Contract,
  FailureData,
  FailureDefinition,
  FailureName,
  Operation,
  OperationDefinition,
  OperationDefinitions,
} from './types.ts'

const SERVICE = /^[A-Za-z0-9][A-Za-z0-9._-]*$/
const NAME = /^[A-Za-z_$][A-Za-z0-9_$-]*$/
// A header value: it names the failure on the wire.
const FAILURE = /^[A-Za-z_][A-Za-z0-9_-]*$/
// `then` would make a proxy a thenable, `toJSON` would be called by JSON.stringify, the others belong to every object.
const TAKEN = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype', 'then', 'toJSON'])
const STREAMING = ['none', 'client', 'server', 'both']
const SUCCESS = [200, 201, 202, 204]
const OPTIONS = [
  'http',
  'idempotent',
  'input',
  'output',
  'success',
  'failures',
  'streaming',
  'unavailableMeansNotProcessed',
  'bindings',
]

/**
 * Defines what a service offers.
 * @param service its name: for discovery, errors and events
 * @throws FairleadError `INVALID_OPTIONS`, naming the place and the fix
 * @example
 * const Inventory = defineContract('inventory', {
 *   stock: { http: 'GET /stock/:sku', input: z.object({ sku: z.string() }), output: z.object({ level: z.number() }) },
 * })
 */
export function defineContract<const Ops extends OperationDefinitions>(
  service: string,
  operations: Ops,
): Contract<Ops> {
  if (typeof service !== 'string' || !SERVICE.test(service))
    throw invalidOption('service', service, 'give a name of letters, digits, dots, dashes and underscores')
  if (!isObject(operations)) throw invalidOption('operations', operations, 'give an object: name to operation')
  const proto: unknown = Object.getPrototypeOf(operations)
  // `{ __proto__: ... }` in a literal sets the prototype instead of naming an operation.
  if (proto !== Object.prototype && proto !== null)
    throw invalidOption('operations', operations, 'an operation cannot be named __proto__; give a plain object')
  const made: Record<string, Operation> = Object.create(null)
  const places = new Map<string, string>()
  for (const name of Object.keys(operations)) {
    const operation = define(service, name, operations[name] as OperationDefinition)
    const place = placeOf(routeOf(operation))
    const other = places.get(place)
    if (other !== undefined) throw invalidOption(`operations.${name}.http`, place, `${other} is found there already`)
    places.set(place, name)
    made[name] = operation
  }
  if (places.size === 0) throw invalidOption('operations', operations, 'name at least one operation')
  return Object.freeze({ service, operations: Object.freeze(made) }) as unknown as Contract<Ops>
}

function define(service: string, name: string, definition: OperationDefinition): Operation {
  const at = `operations.${name}`
  if (!NAME.test(name) || TAKEN.has(name))
    throw invalidOption(at, definition, `an operation cannot be named ${JSON.stringify(name)}`)
  if (!isObject(definition)) throw invalidOption(at, definition, 'give an object with http, input, output, failures')
  knownOptions(at, definition, OPTIONS)
  const {
    streaming = 'none',
    input,
    output,
    success,
    failures = {},
    idempotent,
    unavailableMeansNotProcessed = false,
    bindings = {},
  } = definition
  if (!STREAMING.includes(streaming))
    throw invalidOption(`${at}.streaming`, streaming, `give one of ${STREAMING.join(', ')}`)
  for (const [option, value] of Object.entries({ idempotent, unavailableMeansNotProcessed }))
    if (value !== undefined && typeof value !== 'boolean')
      throw invalidOption(`${at}.${option}`, value, 'give true or false')
  if (success !== undefined && !SUCCESS.includes(success))
    throw invalidOption(`${at}.success`, success, `give one of ${SUCCESS.join(', ')}`)
  if (success === 204 && (output !== undefined || streaming === 'server' || streaming === 'both'))
    throw invalidOption(`${at}.success`, success, 'an answer of 204 has no body; leave the output out, or give 202')
  if (!isObject(bindings)) throw invalidOption(`${at}.bindings`, bindings, 'give an object: transport to binding')
  checkSchema(`${at}.input`, input)
  checkSchema(`${at}.output`, output)
  if (!isObject(failures)) throw invalidOption(`${at}.failures`, failures, 'give an object: name to schema')
  for (const failure of Object.keys(failures)) checkFailure(`${at}.failures.${failure}`, failure, failures[failure])
  const route = routeFor(at, service, name, definition)
  const descriptor = {
    service,
    name,
    idempotent: idempotent ?? (route.method === 'GET' || route.method === 'HEAD'),
    streaming,
    failures: Object.freeze(Object.keys(failures)),
    ...(unavailableMeansNotProcessed ? { unavailableMeansNotProcessed } : {}),
    bindings: Object.freeze({ ...bindings, http: route }),
  }
  // Not enumerable: a contract that is printed or sent is plain data, and schemas are not.
  return Object.freeze(
    Object.defineProperty(descriptor, 'definition', { value: Object.freeze({ ...definition }) }),
  ) as unknown as Operation
}

function routeFor(at: string, service: string, name: string, definition: OperationDefinition): HttpRoute {
  const { http, streaming = 'none', input, output } = definition
  let route: HttpRoute
  try {
    if (http !== undefined && typeof http !== 'string') throw new TypeError("write it as 'METHOD /path/:param'")
    route = parseRoute(http ?? `POST /${service}/${encodeURIComponent(name)}`)
  } catch (error) {
    throw invalidOption(`${at}.http`, http, (error as Error).message)
  }
  const placed = [...route.params, ...route.query]
  if (streaming === 'client' || streaming === 'both') {
    if (route.rest !== 'body')
      throw invalidOption(`${at}.http`, http, `a stream of the client needs a body, and ${route.method} has none`)
    if (placed.length > 0)
      throw invalidOption(
        `${at}.http`,
        http,
        'a stream of the client travels in the body only; take the fields out of path and query',
      )
  }
  if (route.method === 'HEAD' && (output !== undefined || streaming !== 'none'))
    throw invalidOption(`${at}.http`, http, 'an answer to HEAD has no body; use GET, or leave the output out')
  if (placed.length > 0 && input === undefined)
    throw invalidOption(`${at}.http`, http, `${placed.join(', ')} must be fields of the input, and there is no input`)
  const fields = input === undefined ? undefined : knownFields(input)
  for (const field of placed)
    if (fields !== undefined && !fields.has(field))
      throw invalidOption(`${at}.http`, http, `${field} is not a field of the input; it has ${[...fields].join(', ')}`)
  return route
}

function checkSchema(at: string, schema: AnySchema | undefined): void {
  if (schema !== undefined && typeof (schema as Partial<AnySchema> | null)?.['~standard']?.validate !== 'function')
    throw invalidOption(at, schema, 'give a Standard Schema (zod, valibot, arktype)')
}

function checkFailure(at: string, name: string, failure: FailureDefinition | undefined): void {
  if (!FAILURE.test(name) || TAKEN.has(name))
    throw invalidOption(at, failure, `a failure cannot be named ${JSON.stringify(name)}`)
  const { schema, status } = failureParts(failure)
  checkSchema(at, schema ?? (failure as AnySchema))
  if (status !== undefined && !(Number.isInteger(status) && status >= 400 && status <= 599))
    throw invalidOption(`${at}.status`, status, 'give an HTTP status from 400 to 599')
}

/** Schema and status of a declared failure, in whichever of the two forms it was written. */
export function failureParts(failure: FailureDefinition | undefined): {
  readonly schema: AnySchema | undefined
  readonly status: number | undefined
} {
  if ((typeof failure !== 'object' && typeof failure !== 'function') || failure === null)
    return { schema: undefined, status: undefined }
  return '~standard' in failure
    ? { schema: failure, status: undefined }
    : { schema: failure.schema, status: failure.status }
}

/** A route without the names of its parameters: two operations of one place could not be told apart. */
function placeOf(route: HttpRoute): string {
  return `${route.method} /${route.segments.map((segment) => segment.literal ?? ':').join('/')}`
}

function isObject(candidate: unknown): candidate is object {
  return typeof candidate === 'object' && candidate !== null && !Array.isArray(candidate)
}

/**
 * Whether an error is this declared failure; then `error.details` has its type.
 * @example if (isFailure(error, Inventory, 'reserve', 'outOfStock')) offer(error.details.left)
 */
export function isFailure<
  Ops extends OperationDefinitions,
  K extends keyof Ops & string,
  F extends FailureName<Ops[K]>,
>(
  error: unknown,
  contract: Contract<Ops>,
  operation: K,
  failure: F,
): error is FairleadError & {
  readonly code: 'DECLARED_FAILURE'
  readonly failure: F
  readonly details: FailureData<Ops[K], F>
} {
  // A function wrapped by `resilient` that calls a proxy throws an error of its own around the proxy's: the failure is the same.
  let inner: unknown = error
  for (let depth = 0; depth < MOST_WRAPPERS && isFairleadError(inner, 'DECLARED_FAILURE'); depth++) {
    if (inner.service === contract.service && inner.operation === operation) return inner.failure === failure
    inner = inner.cause
  }
  return false
}

const MOST_WRAPPERS = 8
