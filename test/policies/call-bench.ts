// What the tests of the layers that answer by themselves share: a context on a fake clock, and a handler that does as it is told.
import { FROM, type Provenance } from '../../src/core/answer.ts'
import type { Clock } from '../../src/core/clock.ts'
import { type AbortableContext, type CallContext, createContext } from '../../src/core/context.ts'
import { deadlineAt, deadlineIn } from '../../src/core/deadline.ts'
import type { PipelineEvent } from '../../src/core/events.ts'
import type { Handler } from '../../src/core/handler.ts'
import type { FairleadError } from '../../src/errors/base.ts'
import { createError } from '../../src/errors/classes.ts'
import type { Code } from '../../src/errors/codes.ts'

export interface ContextOptions {
  readonly clock: Clock
  readonly deadlineMs?: number
  readonly idempotencyKey?: string
}

export function contextOf({ clock, deadlineMs = Infinity, idempotencyKey }: ContextOptions): AbortableContext {
  const own = createContext({
    service: 'stock',
    operation: 'get',
    deadline: deadlineMs === Infinity ? deadlineAt(Infinity, clock) : deadlineIn(deadlineMs, clock),
    idempotent: true,
    idempotencyKey,
  })
  return { context: own.context, abort: (reason) => own.abort(reason) }
}

export function failure(code: Code, extra: { readonly details?: unknown } = {}): FairleadError {
  return createError({ code, ...extra })
}

export function from(context: CallContext): Provenance | undefined {
  return context.locals.get(FROM) as Provenance | undefined
}

/** Promises that a test settles by hand, in the order of the calls. */
export class Script {
  readonly calls: {
    readonly request: unknown
    readonly context: CallContext
    resolve(value: unknown): void
    reject(error: unknown): void
  }[] = []
  readonly handler: Handler<unknown, unknown> = (request, context) =>
    new Promise((resolve, reject) => void this.calls.push({ request, context, resolve, reject }))

  last(): { readonly context: CallContext; resolve(value: unknown): void; reject(error: unknown): void } {
    const call = this.calls.at(-1)
    if (call === undefined) throw new Error('nothing was called')
    return call
  }
}

/** How a promise stands after all that is already decided has run. */
export async function state(
  promise: PromiseLike<unknown>,
): Promise<{ readonly is: 'open' | 'answered' | 'failed'; readonly with?: unknown }> {
  let now: { readonly is: 'open' | 'answered' | 'failed'; readonly with?: unknown } = { is: 'open' }
  promise.then(
    (value) => {
      now = { is: 'answered', with: value }
    },
    (error) => {
      now = { is: 'failed', with: error }
    },
  )
  await new Promise((resolve) => setImmediate(resolve))
  return now
}

export function heard(): { readonly events: PipelineEvent[]; readonly onEvent: (event: PipelineEvent) => void } {
  const events: PipelineEvent[] = []
  return { events, onEvent: (event) => void events.push(event) }
}

/** Collects rejections that nobody handled while `work` runs. */
export async function unhandledDuring(work: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = []
  const note = (reason: unknown): void => void seen.push(reason)
  process.on('unhandledRejection', note)
  try {
    await work()
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('unhandledRejection', note)
  }
  return seen
}
