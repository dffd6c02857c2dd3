// Begins a call: inherits, makes the context, runs the pipeline, and turns a refusal into what the caller can see.

import { inherited } from '../core/async-context.ts'
import type { Clock } from '../core/clock.ts'
import { type AbortableContext, type CallContext, createContext, effectSoFar } from '../core/context.ts'
import type { Resolver } from '../core/contracts/balancer.ts'
import { type Deadline, deadlineAt, deadlineIn } from '../core/deadline.ts'
import { type Handler, isRefusal, type Refusal } from '../core/handler.ts'
import { durationOption, invalidOption } from '../core/options.ts'
import { onSignal } from '../core/signals.ts'
import { isFairleadError } from '../errors/base.ts'
import { createError, stamp } from '../errors/classes.ts'

/** What a caller may say of one call. */
export interface CallOptions {
  /** For the whole call, milliseconds; replaces the default of the pipeline. An inherited deadline that is sooner wins. */
  readonly deadlineMs?: number | undefined
  /** The caller's own way to give up. Its reason becomes the cause of a `CANCELLED`. */
  readonly signal?: AbortSignal | undefined
  readonly idempotencyKey?: string | undefined
  /** Whether this call may be run twice, where the operation itself does not say. An idempotency key says so too. */
  readonly idempotent?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** What is the same for all calls of one operation. */
export interface CallTemplate {
  readonly service: string
  readonly operation: string
  readonly idempotent: boolean
  /** Milliseconds; Infinity for none. */
  readonly deadlineMs: number
  readonly clock: Clock
  readonly resolver?: Resolver | undefined
}

/** The result of a call that never throws. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown }

/** Runs one call through a pipeline. Rejects with a FairleadError. */
export function startCall<Req, Res>(
  handler: Handler<Req, Res>,
  template: CallTemplate,
  request: Req,
  options: CallOptions | undefined,
): Promise<Res> {
  const begun = begin(handler, template, request, options)
  return isRefusal(begun) ? Promise.reject(begun.refused) : begun
}

/** As `startCall`; gives the result instead of throwing, and a refusal costs no throw at all. */
export async function startResult<Req, Res>(
  handler: Handler<Req, Res>,
  template: CallTemplate,
  request: Req,
  options: CallOptions | undefined,
): Promise<Result<Res>> {
  const begun = begin(handler, template, request, options)
  if (isRefusal(begun)) return { ok: false, error: begun.refused }
  try {
    return { ok: true, value: await begun }
  } catch (error) {
    return { ok: false, error }
  }
}

/** As `startCall`, and lets `see` look at the context once it is over: for `detailed`. */
export function begin<Req, Res>(
  handler: Handler<Req, Res>,
  template: CallTemplate,
  request: Req,
  options: CallOptions | undefined,
  see?: (context: CallContext) => void,
): Promise<Res> | Refusal {
  const from = inherited()
  if (options === undefined && from === undefined) {
    const root = createContext({
      service: template.service,
      operation: template.operation,
      deadline:
        template.deadlineMs === Infinity
          ? deadlineAt(Infinity, template.clock)
          : deadlineIn(template.deadlineMs, template.clock),
      idempotent: template.idempotent,
      resolver: template.resolver,
    })
    see?.(root.context)
    return run(handler, request, root.context)
  }
  let deadlineMs: number
  try {
    deadlineMs = durationOption(
      'deadlineMs',
      options?.deadlineMs,
      template.deadlineMs === Infinity ? 0 : template.deadlineMs,
    )
    for (const signal of [options?.signal, from?.signal])
      if (signal !== undefined && typeof signal?.addEventListener !== 'function')
        throw invalidOption('signal', signal, 'give an AbortSignal')
  } catch (error) {
    const { service, operation } = template
    return Promise.reject(isFairleadError(error) ? stamp(error, { service, operation }) : error)
  }
  const deadline: Deadline =
    deadlineMs === 0
      ? (from?.deadline ?? deadlineAt(Infinity, template.clock))
      : deadlineIn(deadlineMs, template.clock, from?.deadline)
  const headers = from?.headers === undefined ? options?.headers : { ...from.headers, ...options?.headers }
  const root = createContext({
    service: template.service,
    operation: template.operation,
    deadline,
    idempotent: options?.idempotent ?? (template.idempotent || options?.idempotencyKey !== undefined),
    idempotencyKey: options?.idempotencyKey,
    headers,
    resolver: template.resolver,
  })
  see?.(root.context)
  return underSignals(handler, request, root, options?.signal, from?.signal)
}

// The caller's signals end the whole call. Listeners go away with the call, or a long-lived signal would collect them.
function underSignals<Req, Res>(
  handler: Handler<Req, Res>,
  request: Req,
  root: AbortableContext,
  own: AbortSignal | undefined,
  above: AbortSignal | undefined,
): Promise<Res> | Refusal {
  const signals: AbortSignal[] = []
  if (own !== undefined) signals.push(own)
  if (above !== undefined) signals.push(above)
  if (signals.length === 0) return run(handler, request, root.context)
  for (const signal of signals) {
    if (signal.aborted)
      return Promise.reject(
        createError({
          code: 'CANCELLED',
          effect: 'none',
          cause: signal.reason,
          service: root.context.service,
          operation: root.context.operation,
        }),
      )
  }
  const { context } = root
  const stops = signals.map((signal) =>
    onSignal(signal, (cause) => {
      const { service, operation } = context
      root.abort(createError({ code: 'CANCELLED', effect: effectSoFar(context), cause, service, operation }))
    }),
  )
  const stop = (): void => {
    for (const each of stops) each()
  }
  const result = run(handler, request, context)
  if (isRefusal(result)) stop()
  else result.then(stop, stop)
  return result
}

// What is composed never throws at once; a handler given as it is might.
function run<Req, Res>(handler: Handler<Req, Res>, request: Req, context: CallContext): Promise<Res> | Refusal {
  try {
    return handler(request, context)
  } catch (error) {
    return Promise.reject(error)
  }
}
