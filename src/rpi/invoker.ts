// One operation of a proxy: checks the input before anything, runs the pipeline, and turns a declared failure into an error at the very edge.
import { FailureAnswer } from '../core/answer.ts'
import type { CallContext } from '../core/context.ts'
import type { OperationDescriptor, RpiReply, RpiTransport } from '../core/contracts/rpi.ts'
import { type Handler, isRefusal, type Refusal } from '../core/handler.ts'
import { type Issue, issueLine, type Validated, validate } from '../core/schema.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError, type Stamp, stamp } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'
import type { Code, Effect } from '../errors/codes.ts'
import { begin, type CallOptions, type CallTemplate } from '../policies/call.ts'
import { type CallResult, checkCallOptions, type Detailed, detailed } from './callable.ts'
import { failureParts } from './contract.ts'
import { asFailure, incomingItems, isIterable, outgoingItems } from './streams.ts'
import type { AnySchema, Operation } from './types.ts'

/** What the operations of one proxy share. */
export interface Shared {
  readonly transport: RpiTransport
  readonly validateInput: boolean
  readonly validateOutput: boolean
  readonly gate: Gate
}

/** Lets calls in until the proxy is closed, and knows when the last one is over. */
export class Gate {
  #running = 0
  #closed = false
  #idle: (() => void)[] = []

  /** Whether a call may begin. Whoever is let in has to leave. */
  enter(): boolean {
    if (this.#closed) return false
    this.#running++
    return true
  }

  leave(): void {
    if (--this.#running === 0 && this.#closed) for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Refuses from now on; resolves when the calls that are under way are over. */
  close(): Promise<void> {
    this.#closed = true
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }
}

type See = ((context: CallContext) => void) | undefined

/** The innermost handler of an operation: the transport, and what the contract says of its reply. */
export function transportHandler(
  operation: Operation,
  { transport, validateOutput }: Shared,
): Handler<unknown, unknown> {
  const { definition, streaming } = operation
  const output = validateOutput ? definition.output : undefined
  const answers = definition.output !== undefined
  const streams = streaming === 'server' || streaming === 'both'
  return async (input, context) => {
    let reply: RpiReply
    try {
      reply = await transport.invoke(operation, input, context)
    } catch (error) {
      throw explained(error, operation, context, transport)
    }
    if (reply.failure !== undefined) return await failureOf(operation, reply.failure, reply.output, context, transport)
    if (streams) return new Stream(reply.output, factsOf(context, transport))
    if (!answers) return undefined
    if (output === undefined) return reply.output
    let result: Validated<unknown>
    try {
      const checked = validate(output, reply.output)
      result = checked instanceof Promise ? await checked : checked
    } catch (error) {
      // A schema that throws: the service has done its work all the same.
      throw explained(error, operation, context, transport)
    }
    if (!result.ok) throw invalidReply(operation, result.issues, context, transport)
    return result.value
  }
}

/** A stream of answers on its way to the caller's edge, with what is known of the attempt that gave it. */
class Stream {
  readonly source: unknown
  readonly facts: Stamp

  constructor(source: unknown, facts: Stamp) {
    this.source = source
    this.facts = facts
  }
}

/** A declared failure on its way to the caller's edge, likewise. */
class Declared extends FailureAnswer {
  readonly facts: Stamp

  constructor(failure: string, data: unknown, facts: Stamp) {
    super(failure, data)
    this.facts = facts
  }
}

function factsOf({ attempt, endpoint, idempotent }: CallContext, { name }: RpiTransport): Stamp {
  return { attempt, endpoint: endpoint?.id, idempotent, transport: name }
}

function explained(
  error: unknown,
  operation: OperationDescriptor,
  context: CallContext,
  { name }: RpiTransport,
): FairleadError {
  const { attempt, idempotent, aborted, endpoint, effect } = context
  return classify(error, {
    service: operation.service,
    operation: operation.name,
    transport: name,
    attempt,
    idempotent,
    aborted,
    endpoint: endpoint?.id,
    effect,
  })
}

async function failureOf(
  operation: Operation,
  failure: string,
  data: unknown,
  context: CallContext,
  transport: RpiTransport,
): Promise<FailureAnswer> {
  const { schema } = failureParts(operation.definition.failures?.[failure])
  if (!operation.failures.includes(failure))
    throw invalidReply(operation, [{ path: '', message: `no failure is called ${failure}` }], context, transport)
  const result = await validate(schema as AnySchema, data)
  if (!result.ok)
    throw invalidReply(
      operation,
      result.issues,
      context,
      transport,
      `the data of the failure ${failure} break their schema`,
    )
  return new Declared(failure, result.value, factsOf(context, transport))
}

function invalidReply(
  { service, name }: OperationDescriptor,
  issues: unknown,
  context: CallContext,
  transport: RpiTransport,
  message?: string,
): FairleadError {
  return createError({
    code: 'REPLY_INVALID',
    message,
    details: { issues },
    service,
    operation: name,
    ...factsOf(context, transport),
    stack: false,
  })
}

/** Makes the calls of one operation. */
export class Invoker {
  readonly #operation: Operation
  readonly #pipeline: Handler<unknown, unknown>
  readonly #template: CallTemplate
  readonly #shared: Shared
  readonly #input: AnySchema | undefined
  readonly #sends: boolean

  constructor(operation: Operation, pipeline: Handler<unknown, unknown>, template: CallTemplate, shared: Shared) {
    const { streaming, definition } = operation
    this.#operation = operation
    this.#pipeline = pipeline
    this.#template = template
    this.#shared = shared
    this.#sends = streaming === 'client' || streaming === 'both'
    this.#input = shared.validateInput ? definition.input : undefined
  }

  async call(input: unknown, options: CallOptions | undefined): Promise<unknown> {
    return this.#run(input, options, undefined)
  }

  async detailed(input: unknown, options: CallOptions | undefined): Promise<Detailed<unknown>> {
    let seen: CallContext | undefined
    const value = await this.#run(input, options, (context) => {
      seen = context
    })
    return detailed(value, seen)
  }

  async result(input: unknown, options: CallOptions | undefined): Promise<CallResult<unknown>> {
    const { gate } = this.#shared
    if (!gate.enter()) return { ok: false, error: this.#error('SHUTDOWN') }
    const began = this.#template.clock.now()
    try {
      const begun = await this.#begin(input, options, undefined)
      if ('refused' in begun) return { ok: false, error: begun.refused as FairleadError }
      const answer = await begun.answer
      return answer instanceof FailureAnswer
        ? { ok: false, error: this.#declared(answer, began) }
        : { ok: true, value: this.#received(answer, options, began) }
    } catch (error) {
      return { ok: false, error: this.#own(error) }
    } finally {
      gate.leave()
    }
  }

  async #run(input: unknown, options: CallOptions | undefined, see: See): Promise<unknown> {
    const { gate } = this.#shared
    if (!gate.enter()) throw this.#error('SHUTDOWN')
    const began = this.#template.clock.now()
    try {
      const checked = this.#prepare(input, options)
      const ready = checked instanceof Promise ? await checked : checked
      const begun = begin(this.#pipeline, this.#template, ready.input, options, see)
      if (isRefusal(begun)) throw begun.refused
      const answer = await begun
      if (answer instanceof FailureAnswer) throw this.#declared(answer, began)
      return this.#received(answer, options, began)
    } finally {
      gate.leave()
    }
  }

  // The promise of the answer is wrapped, or awaiting this would await it as well.
  async #begin(
    input: unknown,
    options: CallOptions | undefined,
    see: See,
  ): Promise<Refusal | { readonly answer: PromiseLike<unknown> }> {
    const ready = await this.#prepare(input, options)
    const begun = begin(this.#pipeline, this.#template, ready.input, options, see)
    return isRefusal(begun) ? ({ refused: begun.refused } as Refusal) : { answer: begun }
  }

  #prepare(
    input: unknown,
    options: CallOptions | undefined,
  ): { readonly input: unknown } | Promise<{ readonly input: unknown }> {
    checkCallOptions(options)
    if (this.#sends) {
      if (!isIterable(input))
        throw this.#invalid([{ path: '', message: 'give an iterable: the operation takes a stream' }])
      return { input: outgoingItems(input, this.#input, (issues) => this.#invalidItem(issues)) }
    }
    if (this.#operation.definition.input === undefined) return NO_INPUT
    if (this.#input === undefined) return { input }
    let checked: Validated<unknown> | Promise<Validated<unknown>>
    try {
      checked = validate(this.#input, input)
    } catch (error) {
      throw this.#own(error, 'none')
    }
    return checked instanceof Promise
      ? checked.then(
          (result) => this.#checked(result, input),
          (error) => {
            throw this.#own(error, 'none')
          },
        )
      : this.#checked(checked, input)
  }

  // What was given is sent, not what the schema made of it: the service validates, and transforms, itself.
  #checked(result: Validated<unknown>, input: unknown): { readonly input: unknown } {
    if (!result.ok) throw this.#invalid(result.issues)
    return { input }
  }

  #received(answer: unknown, options: CallOptions | undefined, began: number): unknown {
    if (!(answer instanceof Stream)) return answer
    const { definition, service, name } = this.#operation
    const { source, facts } = answer
    const told = (error: FairleadError): FairleadError =>
      stamp(error, { ...facts, elapsedMs: this.#template.clock.now() - began })
    const broken = (issues: unknown): FairleadError => told(this.#error('REPLY_INVALID', { issues }))
    if (!isIterable(source)) throw broken([{ path: '', message: 'the transport gave no stream' }])
    return incomingItems(source as AsyncIterable<unknown> | Iterable<unknown>, {
      schema: this.#shared.validateOutput ? definition.output : undefined,
      signal: options?.signal,
      broken,
      failed: (error) => told(this.#failedItem(error, began)),
      cancelled: (cause) => createError({ code: 'CANCELLED', cause, service, operation: name, stack: false }),
    })
  }

  #failedItem(error: unknown, began: number): FairleadError {
    const failure = isFairleadError(error) ? undefined : asFailure(error)
    if (failure === undefined) return this.#own(error)
    const { schema } = failureParts(this.#operation.definition.failures?.[failure.failure])
    // A stream has ended by now; an asynchronous schema of a failure's data is not waited for.
    const result = schema === undefined ? undefined : validate(schema, failure.data)
    if (result === undefined || (!(result instanceof Promise) && !result.ok)) return this.#error('REPLY_INVALID')
    return this.#declared(
      result instanceof Promise ? failure : new FailureAnswer(failure.failure, (result as { value: unknown }).value),
      began,
    )
  }

  #own(error: unknown, effect?: Effect): FairleadError {
    const { service, name } = this.#operation
    return isFairleadError(error)
      ? error
      : classify(error, {
          service,
          operation: name,
          idempotent: this.#template.idempotent,
          transport: this.#shared.transport.name,
          effect,
        })
  }

  #declared(answer: FailureAnswer, began: number): FairleadError {
    const { service, name } = this.#operation
    const { failure, data } = answer
    return createError({
      ...(answer instanceof Declared ? answer.facts : {}),
      elapsedMs: this.#template.clock.now() - began,
      code: 'DECLARED_FAILURE',
      message: failure,
      failure,
      details: data,
      service,
      operation: name,
      stack: false,
    })
  }

  #invalid(issues: readonly Issue[]): FairleadError {
    const { service, name } = this.#operation
    return createError({
      code: 'INVALID_INPUT',
      message: `the input breaks the schema of the operation, and nothing was sent: ${issueLine(issues)}`,
      details: { issues },
      service,
      operation: name,
      idempotent: this.#template.idempotent,
    })
  }

  // What came before it was sent, and the service may have acted on it.
  #invalidItem(issues: unknown): FairleadError {
    const { service, name } = this.#operation
    return createError({
      code: 'INVALID_INPUT',
      message: 'an item of the stream breaks the schema of the operation; what came before it may have been sent',
      effect: 'unknown',
      details: { issues },
      service,
      operation: name,
    })
  }

  #error(code: Code, details?: unknown): FairleadError {
    const { service, name } = this.#operation
    return createError({ code, details, service, operation: name })
  }
}

const NO_INPUT: { readonly input: undefined } = Object.freeze({ input: undefined })
