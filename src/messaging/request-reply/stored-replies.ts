// Handles what comes in for a stored requester, in the transaction of its inbox: finds the row, and if it waits, ends it and runs the handler.
import type { Message } from '../../core/message.ts'
import { type AnySchema, issueLine, validate } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { TransactionContext } from '../consumer/types.ts'
import { readReply, replyTypeOf } from './reply-wire.ts'
import type { AnyHandlers, Settings } from './stored-options.ts'
import { endedMeanwhile, type RequestRow, type RowStatus, readRow, requestOf, waits, written } from './stored-row.ts'
import type { StoredContext, StoredRequesterStats } from './stored-types.ts'
import { carriedBy, TIMED_OUT } from './stored-wire.ts'

/** What it works with. */
export interface RepliesParts {
  readonly settings: Settings
  readonly kind: string
  /** Counted up here. */
  readonly stats: { -readonly [K in keyof StoredRequesterStats]: number }
  /** Has something told after the commit of this transaction. */
  afterCommit(tx: unknown, tell: () => void): void
}

type Context = TransactionContext<unknown>
type Handle = (message: Message, context: Context) => Promise<void>

/** What came, read. */
type Came =
  | { readonly what: 'reply'; readonly data: unknown }
  | { readonly what: 'failure'; readonly name: string; readonly data: unknown }
  | { readonly what: 'error' | 'timeout'; readonly error: FairleadError }

const ENDS: Readonly<Record<Came['what'], RowStatus>> = {
  reply: 'answered',
  failure: 'failed',
  error: 'failed',
  timeout: 'timed-out',
}

/** Handlers for a consumer with an inbox. */
export class StoredReplies {
  readonly #parts: RepliesParts

  constructor(parts: RepliesParts) {
    this.#parts = parts
  }

  /** By type of message. */
  handlers(): Readonly<Record<string, Handle>> {
    const all: Record<string, Handle> = { [TIMED_OUT]: (message, context) => this.#take(undefined, message, context) }
    for (const type of this.#parts.settings.handlers.keys())
      all[replyTypeOf(type)] = (message, context) => this.#take(type, message, context)
    return all
  }

  // `type` is that of the request; undefined for a timeout.
  async #take(type: string | undefined, message: Message, context: Context): Promise<void> {
    const { settings, kind } = this.#parts
    const { states } = settings.store
    const { tx } = context
    const id = message.correlationId
    const found = id === undefined ? undefined : await states.load(tx, kind, id)
    if (id === undefined || found === undefined) return this.#drop('unknown', message, tx)
    const row = readRow(id, found.state)
    if (type !== undefined && row.type !== type) return this.#drop('unknown', message, tx)
    if (!waits(row)) return this.#drop('late', message, tx)
    // Nobody but the scan sends one, in the transaction that says so.
    if (type === undefined && row.status !== 'timing-out') return this.#drop('unknown', message, tx)
    const handlers = settings.handlers.get(row.type)
    if (handlers === undefined)
      throw createError({
        code: 'MESSAGE_UNHANDLED',
        message: `the requester ${settings.name} has no handlers for ${row.type} any more`,
        details: { id, type: row.type },
      })
    const came = type === undefined ? timeUp(id, row) : await this.#read(type, context)
    const replies = row.replies + (came.what === 'timeout' ? 0 : 1)
    const last = came.what === 'timeout' || replies >= row.expect
    const counted: RequestRow = { ...row, replies, status: last ? ENDS[came.what] : row.status }
    // Before the handler: of two replies, or a reply and a timeout, that are handled at one time only one gets through here.
    let version = found.version
    const save = async (next: RequestRow): Promise<void> => {
      // A row whose timeout is on its way has no other time to wake.
      const wakeAt = next.status === 'open' ? next.until : settings.neverDue
      const options = waits(next) ? { wakeAt } : { done: true }
      if (!(await states.save(tx, kind, id, version, written(next), options))) throw endedMeanwhile(id)
      version++
    }
    await save(counted)
    const wish: Wish = { enough: false, kept: undefined }
    await call(handlers, came, await this.#context(id, counted, last, message, context, wish, came))
    if (!last && (wish.enough || wish.kept !== undefined))
      await save({
        ...counted,
        status: wish.enough ? ENDS[came.what] : counted.status,
        state: wish.kept === undefined ? counted.state : wish.kept.state,
      })
    this.#parts.afterCommit(tx, () => {
      const { stats } = this.#parts
      if (came.what === 'reply') stats.replies++
      else if (came.what === 'timeout') stats.timeouts++
      else stats.failures++
    })
  }

  async #read(type: string, context: Context): Promise<Came> {
    const { channel, transport } = this.#parts.settings
    const facts = { transport: transport.name, idempotent: false }
    const { reply, error } = await readReply(channel, type, carriedBy(context), facts)
    if (error === undefined) return { what: 'reply', data: reply.data }
    if (error.code === 'DECLARED_FAILURE' && error.failure !== undefined)
      return { what: 'failure', name: error.failure, data: error.details }
    return { what: 'error', error }
  }

  async #context(
    id: string,
    row: RequestRow,
    last: boolean,
    message: Message,
    context: Context,
    wish: Wish,
    came: Came,
  ): Promise<AnyContext> {
    const { settings } = this.#parts
    return {
      error: came.what === 'reply' ? undefined : came.what === 'failure' ? undeclared(came.name) : came.error,
      tx: context.tx,
      request: requestOf(id, row),
      state: settings.state === undefined ? row.state : await stateOf(settings.state, id, row),
      replies: row.replies,
      last,
      message: { ...message, data: undefined },
      ids: context.ids,
      get signal() {
        return context.signal
      },
      enough() {
        wish.enough = true
      },
      keep(state) {
        wish.kept = { state }
      },
    }
  }

  #drop(why: 'late' | 'unknown', message: Message, tx: unknown): void {
    const { settings, stats } = this.#parts
    const { events } = settings.world
    this.#parts.afterCommit(tx, () => {
      stats[why]++
      if (!events.heard) return
      const { id, type, correlationId } = message
      events.emit({
        type: 'reply-dropped',
        transport: settings.transport.name,
        why,
        id,
        messageType: type,
        ...(correlationId === undefined ? {} : { correlationId }),
      })
    })
  }
}

// What a handler asked for.
interface Wish {
  enough: boolean
  kept: { readonly state: unknown } | undefined
}

function timeUp(id: string, { type, at, until }: RequestRow): Came {
  return {
    what: 'timeout',
    error: createError({
      code: 'DEADLINE_EXCEEDED',
      message: `no answer to ${type} came within ${Math.round(until - at)} ms`,
      details: { id, type },
      stack: false,
    }),
  }
}

type AnyContext = StoredContext<unknown, unknown> & { readonly error: FairleadError | undefined }

async function call(handlers: AnyHandlers, came: Came, context: AnyContext): Promise<void> {
  if (came.what === 'reply') await handlers.reply(came.data, context)
  else if (came.what === 'failure' && handlers.failure !== undefined)
    await handlers.failure(came.name, came.data, context)
  else if (came.what === 'error' && handlers.error !== undefined) await handlers.error(came.error, context)
  else await handlers.timeout(context as AnyContext & { readonly error: FairleadError })
}

// The channel has learnt of a failure after its handlers were written.
function undeclared(failure: string): FairleadError {
  return createError({ code: 'DECLARED_FAILURE', message: failure, failure, stack: false })
}

async function stateOf(schema: AnySchema, id: string, row: RequestRow): Promise<unknown> {
  const judged = await validate(schema, row.state)
  if (judged.ok) return judged.value
  throw createError({
    code: 'INCOMPATIBLE',
    message: `the state of the stored request ${id} breaks its schema: ${issueLine(judged.issues)}`,
    details: { id, issues: judged.issues },
  })
}
