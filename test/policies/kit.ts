// What the tests of the policies share: a pipeline around a handler on a fake clock, and outcomes as plain words.
import type { Clock } from '../../src/core/clock.ts'
import { type CallContext, createContext } from '../../src/core/context.ts'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import { deadlineAt } from '../../src/core/deadline.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import { compose, type Handler, type Layer } from '../../src/core/handler.ts'
import { type FairleadError, type FairleadErrorFields, isFairleadError } from '../../src/errors/base.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code } from '../../src/errors/codes.ts'
import { type CallOptions, startCall } from '../../src/policies/call.ts'

export interface Setting {
  readonly clock: Clock
  readonly idempotent?: boolean
  readonly deadlineMs?: number
  readonly resolver?: Resolver
}

/** A function that runs one call through layers. First = outermost. */
export function pipelineOf<Req, Res>(
  layers: readonly Layer[],
  handler: Handler<Req, Res>,
  { clock, idempotent = true, deadlineMs = Infinity, resolver }: Setting,
): (request?: Req, options?: CallOptions) => Promise<Res> {
  const run = compose(layers, handler)
  const template = { service: 'stock', operation: 'get', idempotent, deadlineMs, clock, resolver }
  return (request, options) => startCall(run, template, request as Req, options)
}

/** A context without a pipeline. */
export function contextOf(
  clock: Clock,
  change: { deadlineAt?: number; idempotent?: boolean; resolver?: Resolver } = {},
): CallContext {
  return createContext({
    service: 'stock',
    operation: 'get',
    deadline: deadlineAt(change.deadlineAt ?? Infinity, clock),
    idempotent: change.idempotent ?? true,
    resolver: change.resolver,
  }).context
}

/** Work that does not end. */
export const never = (): Promise<number> => new Promise(() => undefined)

export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

export function deferred<T = unknown>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** The value, or the code of the error, or the error where it has no code. */
export async function outcome(result: PromiseLike<unknown>): Promise<unknown> {
  try {
    return await result
  } catch (error) {
    return isFairleadError(error) ? error.code : error
  }
}

/** The error of a call that has to fail. */
export async function failure(result: PromiseLike<unknown>): Promise<FairleadError> {
  try {
    await result
  } catch (error) {
    if (isFairleadError(error)) return error
    throw error
  }
  throw new Error('it went well')
}

/** What a thrown value says, where something has to throw. */
export function thrownBy(work: () => unknown): FairleadError {
  try {
    work()
  } catch (error) {
    if (isFairleadError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

/** 'pending' until it settles, then as `outcome`. Read it after the clock was moved. */
export function watch(result: PromiseLike<unknown>): { readonly now: unknown } {
  const seen = { now: 'pending' as unknown }
  outcome(result).then((what) => {
    seen.now = what
  })
  return seen
}

export function fail(code: Code, fields: Omit<FairleadErrorFields, 'code'> = {}): Promise<never> {
  return Promise.reject(createError({ code, ...fields }))
}

/** Events of a kind, in order. */
export function recorder(): {
  readonly onEvent: (event: PipelineEvent) => void
  readonly events: PipelineEvent[]
  of(type: PipelineEvent['type']): any[]
} {
  const events: PipelineEvent[] = []
  return {
    onEvent: (event) => void events.push(event),
    events,
    of: (type) => events.filter((event) => event.type === type),
  }
}

/** A layer as a user would write it who never heard of refusals. */
export const plainAsync: Layer = (next) => async (request, context) => await next(request, context)
