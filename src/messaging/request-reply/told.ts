// What a handler of requests is told: all that the consumer tells it, and the means to fail.
import type { CallContext } from '../../core/context.ts'
import type { Deadline } from '../../core/deadline.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { HandlerContext } from '../consumer/types.ts'
import type { RequestContext } from './types.ts'

/** The second argument of a handler. */
export class Told implements RequestContext {
  readonly #context: HandlerContext & { readonly tx?: unknown }
  readonly #service: string
  readonly #operation: string

  constructor(context: HandlerContext, service: string, operation: string) {
    this.#context = context
    this.#service = service
    this.#operation = operation
    // Handlers take them out of the context: `({ data }, { fail }) => ...`.
    this.fail = this.fail.bind(this)
    this.onAbort = this.onAbort.bind(this)
  }

  fail(failure: string, data: unknown): never {
    throw createError({
      code: 'DECLARED_FAILURE',
      message: failure,
      failure,
      details: data,
      service: this.#service,
      operation: this.#operation,
    })
  }

  get tx(): unknown {
    return this.#context.tx
  }

  get channel(): ChannelAddress {
    return this.#context.channel
  }

  get group(): string | undefined {
    return this.#context.group
  }

  get ids(): readonly string[] {
    return this.#context.ids
  }

  get attempt(): number {
    return this.#context.attempt
  }

  get redeliveries(): number {
    return this.#context.redeliveries
  }

  get deadline(): Deadline {
    return this.#context.deadline
  }

  get signal(): AbortSignal {
    return this.#context.signal
  }

  get aborted(): { readonly reason: unknown } | undefined {
    return this.#context.aborted
  }

  onAbort(listener: (reason: unknown) => void): () => void {
    return this.#context.onAbort(listener)
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#context.headers
  }

  get call(): CallContext {
    return this.#context.call
  }
}
