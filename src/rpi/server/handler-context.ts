// What a handler is told of the request it serves.
import type { Deadline } from '../../core/deadline.ts'
import { checkHeader } from '../../core/http-wire.ts'
import { createError } from '../../errors/classes.ts'
import type { FailureInput, FailureName, Operation, OperationDefinition } from '../types.ts'
import type { WireRequest } from './wire.ts'

/** The second argument of a handler. */
export interface HandlerContext<D extends OperationDefinition = OperationDefinition> {
  readonly service: string
  readonly operation: string
  /** Aborted when the client has gone or the deadline has passed: stop working then. */
  readonly signal: AbortSignal
  /** When the caller stops waiting. Calls made through fairlead inherit it by themselves. */
  readonly deadline: Deadline
  /** What the caller sent as `Idempotency-Key`. */
  readonly idempotencyKey: string | undefined
  /** All headers of the request, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Answers with a failure that the contract declares. Ends the handler: it throws. */
  fail<F extends FailureName<D>>(failure: F, data: FailureInput<D, F>): never
  /**
   * Sets a header of the reply.
   * @throws TypeError where name or value cannot be a header, or it is one of those that the adapter sets
   */
  setHeader(name: string, value: string): void
}

/** The second argument of a handler whose adapter keeps answers. */
export interface TransactionHandlerContext<Tx, D extends OperationDefinition = OperationDefinition>
  extends HandlerContext<D> {
  /**
   * The transaction that the answer is part of. Committed with it; undone when the handler throws, `fail` included. It is over then. A handler is called again, with another
   * one, where the database undid the first because of another transaction.
   */
  readonly tx: Tx
}

const OURS = new Set([
  'content-type',
  'content-length',
  'transfer-encoding',
  'connection',
  'fairlead-failure',
  'allow',
  'retry-after',
  'idempotency-replayed',
])

export class RequestContext implements HandlerContext {
  readonly service: string
  readonly operation: string
  readonly signal: AbortSignal
  readonly deadline: Deadline
  readonly idempotencyKey: string | undefined
  /** Headers that the handler has set. */
  replyHeaders: Record<string, string> = {}
  /** Where the adapter keeps answers. */
  tx: unknown = undefined
  readonly #request: WireRequest
  #headers: Readonly<Record<string, string>> | undefined

  constructor(
    operation: Operation,
    request: WireRequest,
    signal: AbortSignal,
    deadline: Deadline,
    idempotencyKey: string | undefined,
  ) {
    this.service = operation.service
    this.operation = operation.name
    this.signal = signal
    this.deadline = deadline
    this.idempotencyKey = idempotencyKey
    this.#request = request
    // Handlers take them out of the context: `({ sku }, { fail }) => ...`.
    this.fail = this.fail.bind(this)
    this.setHeader = this.setHeader.bind(this)
  }

  /** The handler is about to be called in a transaction, perhaps not for the first time. */
  enter(tx: unknown): void {
    this.tx = tx
    this.replyHeaders = {}
  }

  get headers(): Readonly<Record<string, string>> {
    return (this.#headers ??= this.#request.headers())
  }

  fail(failure: string, data: unknown): never {
    throw createError({
      code: 'DECLARED_FAILURE',
      message: failure,
      failure,
      details: data,
      service: this.service,
      operation: this.operation,
    })
  }

  setHeader(name: string, value: string): void {
    const lower = String(name).toLowerCase()
    if (OURS.has(lower)) throw new TypeError(`the header ${lower} is set by the adapter`)
    try {
      this.replyHeaders[lower] = checkHeader(lower, value)
    } catch (error) {
      // A fault of the handler, not of the request.
      throw new TypeError((error as Error).message)
    }
  }
}
