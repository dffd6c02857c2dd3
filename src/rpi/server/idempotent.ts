// Requests that name themselves by an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): done once, answered as often as asked.
import { createHash } from 'node:crypto'
import { detached } from '../../core/async-context.ts'
import type { Clock, Random, Timer } from '../../core/clock.ts'
import { againOnConflict } from '../../core/conflicts.ts'
import type { IdempotencyStore, Transactional } from '../../core/contracts/store.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { Code } from '../../errors/codes.ts'
import type { Operation } from '../types.ts'
import type { RequestContext } from './handler-context.ts'
import { problemReply } from './problem.ts'
import type { RecordedRequest } from './recorded-request.ts'
import type { WireReply } from './wire.ts'

/** What the idempotency of a server adapter needs of a store: transactions, and the part of it that keeps answers. */
export interface IdempotencyPlace<Tx> extends Transactional<Tx> {
  readonly idempotency: IdempotencyStore<Tx>
}

/** Whose keys are meant: what `idempotencyScope` goes by. */
export interface KeyedRequest {
  readonly service: string
  readonly operation: string
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>
}

/** How an adapter keeps answers. */
export interface Idempotency {
  readonly place: IdempotencyPlace<unknown>
  readonly scope: ((request: KeyedRequest) => string) | undefined
  readonly required: boolean
  readonly clock: Clock
  readonly random: Random
  /** When old answers are deleted next, on the scale of the clock. */
  purgeAt: number
}

/** One request, as far as it matters here. */
export interface KeyedCall {
  readonly operation: Operation
  readonly request: RecordedRequest
  readonly context: RequestContext
  /** Runs the handler. Rejects with whatever is no answer. */
  handle(): Promise<WireReply>
  /** The answer that a rejection of `handle` is: a declared failure. */
  declared(error: unknown): Promise<WireReply | undefined>
  /** Told of what went wrong beside the request. */
  failed(error: unknown): void
}

const REPLAYED = 'idempotency-replayed'
const LONGEST_KEY = 255
const RETRY_MS = 1_000
/** A handler that goes on so long after nobody waits for it any more is left alone, where handles can say that their transaction is over. */
const LEFT_ALONE_MS = 30_000

/**
 * Runs an operation in a transaction. With a key the answer is part of it: the same request is given the same answer from then on. Only answers are kept (a status of success, a
 * declared failure); of anything else nothing is, and the transaction is undone. A declared failure undoes it as well, and its answer is kept by itself.
 */
export async function answerOnce(idempotency: Idempotency, call: KeyedCall): Promise<WireReply> {
  const { place } = idempotency
  const { operation, request, context } = call
  let handled = false
  const again = async (work: (tx: unknown) => Promise<WireReply>): Promise<WireReply> => {
    const once = (): Promise<WireReply> => {
      handled = false
      return place.transaction(work)
    }
    try {
      return await againOnConflict(once, {
        clock: idempotency.clock,
        random: idempotency.random,
        own: { service: operation.service, operation: operation.name },
        endsAt: context.deadline.at,
        stopped: () => context.signal.aborted,
      })
    } catch (error) {
      // Whatever the store could not do, nothing was done for the caller, and it is not the caller's fault.
      if (handled || error === context.signal.reason) throw error
      call.failed(error)
      return unavailable(operation)
    }
  }
  const handle = (tx: unknown): Promise<WireReply> => {
    // Its caller was told by now that nobody waits.
    if (context.signal.aborted) return Promise.reject(context.signal.reason)
    handled = true
    context.enter(tx)
    return place.handlesEnd === true ? orLeft(call.handle(), context.signal, idempotency.clock) : call.handle()
  }
  // Reading is repeated as it is: there is nothing to be done once.
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const sent = reads ? undefined : context.idempotencyKey
  if (sent === undefined) {
    if (idempotency.required && !operation.idempotent && !reads)
      return refused('BAD_REQUEST', 'the operation wants an Idempotency-Key', operation)
    return again(handle)
  }
  const key = keyIn(sent)
  if (key === undefined)
    return refused('BAD_REQUEST', `the Idempotency-Key must be a string of 1 to ${LONGEST_KEY} characters`, operation)
  let scope: string
  try {
    scope = scopeOf(idempotency, call)
  } catch (error) {
    call.failed(error)
    return problemReply(error, { expose: false, effect: 'none', service: operation.service, operation: operation.name })
  }
  const hash = hashOf(operation, request)
  const once = (make: (tx: unknown) => Promise<WireReply>): Promise<WireReply> =>
    again(async (tx) => {
      const found = await place.idempotency.reserve(tx, scope, key, hash)
      if (found.state === 'stored') return replayed(found.response)
      if (found.state === 'mismatch')
        return refused('KEY_REUSED', 'the Idempotency-Key was used before with another request', operation)
      if (found.state === 'running') return running(operation)
      const reply = await make(tx)
      await place.idempotency.complete(tx, scope, key, written(reply))
      return reply
    })
  purgeNowAndThen(idempotency, call)
  try {
    return await once(handle)
  } catch (error) {
    const failure = await call.declared(error)
    if (failure === undefined) throw error
    return await once(async () => failure)
  }
}

/** Why a key cannot be honoured by an operation that streams. */
export function streamsTakeNoKey(operation: Operation): WireReply {
  return refused('BAD_REQUEST', 'the operation streams: it takes no Idempotency-Key', operation)
}

function refused(code: Code, message: string, { service, name }: Operation): WireReply {
  const error = createError({ code, message, service, operation: name, stack: false })
  return problemReply(error, { expose: true, effect: 'none', service, operation: name })
}

function unavailable({ service, name }: Operation): WireReply {
  const error = createError({
    code: 'UNAVAILABLE',
    message: 'no transaction could be begun',
    service,
    operation: name,
    effect: 'none',
    retryAfterMs: RETRY_MS,
    stack: false,
  })
  return problemReply(error, { expose: true, effect: 'none', service, operation: name })
}

function running({ service, name }: Operation): WireReply {
  const error = createError({
    code: 'IN_PROGRESS',
    message: 'a request of the same Idempotency-Key is being worked on now',
    service,
    operation: name,
    retryAfterMs: RETRY_MS,
    stack: false,
  })
  return problemReply(error, { expose: true, effect: 'none', service, operation: name })
}

// The draft has it as a string of structured fields (RFC 9651), in quotes; most clients, ours too, send it bare.
function keyIn(sent: string): string | undefined {
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(sent.trim())
  const key = quoted === null ? sent.trim() : (quoted[1] as string).replace(/\\(["\\])/g, '$1')
  return key === '' || key.length > LONGEST_KEY || /\p{Cc}/u.test(key) ? undefined : key
}

// Who it is may be a credential: only a digest of it is written down.
function scopeOf({ scope }: Idempotency, { operation, context }: KeyedCall): string {
  const { service, name } = operation
  if (scope === undefined) return `${service}.${name}`
  let who: unknown
  try {
    who = scope({ service, operation: name, headers: context.headers })
  } catch (error) {
    throw isFairleadError(error) ? error : unscoped('idempotencyScope threw', error)
  }
  if (typeof who !== 'string' || who === '')
    throw unscoped('idempotencyScope gave no string: keys of different callers would meet')
  return `${service}.${name}:${createHash('sha256').update(who).digest('base64url')}`
}

function unscoped(message: string, cause?: unknown): Error {
  return createError({ code: 'PROGRAMMING_ERROR', message, cause, effect: 'none' })
}

// The transaction of a handler that does not heed its signal is undone: it would keep its connection and its key for ever.
function orLeft(work: Promise<WireReply>, signal: AbortSignal, clock: Clock): Promise<WireReply> {
  return new Promise((resolve, reject) => {
    let timer: Timer
    const leave = (): void => {
      timer = clock.setTimer(() => reject(signal.reason), LEFT_ALONE_MS, undefined)
    }
    const over = (): void => {
      signal.removeEventListener('abort', leave)
      clock.clearTimer(timer)
    }
    signal.addEventListener('abort', leave, { once: true })
    work.then(over, over)
    work.then(resolve, reject)
  })
}

// What makes two requests the same: what they ask for, on what, and with which words. Each part stands after its length.
function hashOf({ service, name }: Operation, request: RecordedRequest): string {
  const type = (request.header('content-type') ?? '').trim().toLowerCase()
  const hash = createHash('sha256')
  for (const part of [service, name, `${request.path}?${request.query}`, type])
    hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.update(request.bytes).digest('base64url')
}

function written({ status, headers, body }: WireReply): Uint8Array {
  return Buffer.from(JSON.stringify({ status, headers, body }))
}

function replayed(response: Uint8Array): WireReply {
  const { status, headers, body } = JSON.parse(Buffer.from(response).toString('utf8')) as WireReply
  return { status, headers: { ...headers, [REPLAYED]: 'true' }, body }
}

const PURGE_EVERY_MS = 600_000
const BATCH = 1_000
const MOST_BATCHES = 20

// Beside requests that write, and without a timer: an adapter that serves nobody has nothing that grows.
function purgeNowAndThen(idempotency: Idempotency, { failed }: KeyedCall): void {
  const { place, clock, random } = idempotency
  const now = clock.now()
  if (now < idempotency.purgeAt) return
  idempotency.purgeAt = now + PURGE_EVERY_MS * (0.5 + random())
  void detached(async () => {
    try {
      for (let batch = 0; batch < MOST_BATCHES; batch++)
        if ((await place.idempotency.purge(place.idempotency.retentionMs, BATCH)) < BATCH) return
      idempotency.purgeAt = 0
    } catch (error) {
      failed(error)
    }
  })
}
