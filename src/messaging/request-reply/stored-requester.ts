// Requests that outlive their process: what waits is a row, the reply comes through the inbox, and the timeout is a message like any other.
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { closeWithin } from '../../core/lifecycle.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { ageOption, countOption, knownOptions } from '../../core/options.ts'
import { type AnySchema, issueLine, validate } from '../../core/schema.ts'
import { uuidSource } from '../../core/uuid.ts'
import { createError } from '../../errors/classes.ts'
import { AfterCommit } from '../after-commit.ts'
import { createConsumer } from '../consumer/create-consumer.ts'
import type { Consumer, ConsumerHealth } from '../consumer/types.ts'
import { donePurger } from '../done-states.ts'
import type { Purger } from '../inbox/purger.ts'
import type { MessageTypes } from '../types.ts'
import { type Settings, settingsOf } from './stored-options.ts'
import { StoredReplies } from './stored-replies.ts'
import { endedMeanwhile, kindOf, NEVER_DUE, type RequestRow, readRow, requestOf, waits, written } from './stored-row.ts'
import { Scan } from './stored-scan.ts'
import { withoutExpiry } from './stored-transport.ts'
import type {
  PendingRequest,
  StateIn,
  StoredRequester,
  StoredRequesterOptions,
  StoredRequesterStats,
  StoredRequestOptions,
} from './stored-types.ts'
import { TIMED_OUT } from './stored-wire.ts'

const REQUEST_OPTIONS = ['timeoutMs', 'state', 'key', 'subject', 'priority', 'headers', 'expect']

/**
 * Makes a requester whose requests are kept in the store until they are answered: by this process, by another one, or after a restart. Nothing is taken before `start()`.
 *
 * The request and its row are written in your transaction. The reply is handled once, in one transaction with the end of the request. When the time is over, a timeout is put into the same queue as the
 * replies; whichever of the two is handled first decides, and the other is dropped and counted.
 * @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING`
 * @example
 * const quotes = createStoredRequester({ name: 'checkout-quotes', store, outbox, transport, channel: Pricing, replies: 'checkout-replies', state: z.object({ orderId: z.string() }),
 *   handlers: { 'price.quote': {
 *     reply: async ({ price }, { tx, state }) => { await tx.query('update orders set price = $1 where id = $2', [price, state.orderId]) },
 *     timeout: async ({ tx, state }) => { await tx.query("update orders set price_state = 'unknown' where id = $1", [state.orderId]) },
 *   } } })
 * await quotes.start()
 * await store.transaction((tx) => quotes.request(tx, 'price.quote', { sku: 'A-1' }, { state: { orderId } }))
 */
export function createStoredRequester<Types extends MessageTypes, Tx, StateSchema extends AnySchema = AnySchema>(
  options: StoredRequesterOptions<Types, Tx, StateSchema>,
): StoredRequester<Types, Tx, StateIn<StateSchema>> {
  const settings = settingsOf(options as never)
  return new Requester(settings) as unknown as StoredRequester<Types, Tx, StateIn<StateSchema>>
}

class Requester implements StoredRequester<any, unknown, unknown> {
  readonly name: string
  readonly #settings: Settings
  readonly #kind: string
  readonly #stats: { -readonly [K in keyof StoredRequesterStats]: number }
  readonly #consumer: Consumer
  readonly #scan: Scan | undefined
  readonly #purger: Purger | undefined
  readonly #newId: () => string
  /** What is told after the commit of a transaction that is being committed. */
  readonly #afterCommit: AfterCommit
  #closing: Promise<void> | undefined

  constructor(settings: Settings) {
    const { name, store, transport, world, replies, scanEveryMs, consumer } = settings
    this.name = name
    this.#settings = settings
    this.#kind = kindOf(name)
    this.#stats = { requested: 0, replies: 0, failures: 0, timeouts: 0, late: 0, unknown: 0, purged: 0 }
    this.#newId = world.newId ?? uuidSource(world.clock)
    this.#afterCommit = new AfterCommit(store)
    const handling = new StoredReplies({
      settings,
      kind: this.#kind,
      stats: this.#stats,
      afterCommit: (tx, tell) => this.#afterCommit.note(tx, tell),
    })
    this.#consumer = createConsumer({
      ...consumer,
      transport: withoutExpiry(transport),
      channel: replies,
      inbox: store,
      name: this.#kind,
      handlers: handling.handlers(),
    } as never)
    this.#scan =
      scanEveryMs === false
        ? undefined
        : new Scan({
            world,
            everyMs: scanEveryMs,
            due: (limit) => store.states.due(this.#kind, world.clock.wallNow(), limit),
            expire: (id) => this.#expire(id),
            failed: (error) => {
              if (world.events.heard) world.events.emit({ type: 'request-scan-failed', requester: name, error })
            },
          })
    const { keeping } = settings
    this.#purger =
      keeping === false
        ? undefined
        : donePurger(store.states, this.#kind, keeping, world, {
            purged: (count) => {
              this.#stats.purged += count
              if (world.events.heard) world.events.emit({ type: 'request-purged', requester: name, count })
            },
            failed: (error) => {
              if (world.events.heard) world.events.emit({ type: 'request-purge-failed', requester: name, error })
            },
          })
    this.#closing = undefined
  }

  async start(): Promise<void> {
    await this.#consumer.start()
    this.#scan?.start()
    this.#purger?.start()
  }

  async request(
    tx: unknown,
    type: string,
    data: unknown,
    options: StoredRequestOptions<unknown> = {},
  ): Promise<{ readonly id: string }> {
    const { channel, outbox, store, handlers, replies, world, timeoutMs, state: schema } = this.#settings
    const { state, key, subject, priority, headers } = options
    if (!handlers.has(type))
      throw createError({
        code: 'INVALID_OPTIONS',
        message: `the requester ${this.name} has no handlers for ${type}: nobody would take its reply; it has them for ${[...handlers.keys()].join(', ')}`,
        details: { option: 'type' },
      })
    knownOptions('request options', options, REQUEST_OPTIONS)
    const at = world.clock.wallNow()
    const row: RequestRow = {
      status: 'open',
      type,
      at,
      until: Math.floor(at + ageOption('timeoutMs', options.timeoutMs, timeoutMs, 1)),
      expect: countOption('expect', options.expect, 1),
      replies: 0,
      key,
      state,
    }
    if (schema !== undefined) await checkedState(schema, type, state)
    const id = this.#newId()
    const { kind, name } = replies
    const replyTo: ChannelAddress = { kind, name }
    // Its data is judged here, before anything is written.
    await outbox.publish(
      tx,
      channel as never,
      {
        type,
        data,
        id,
        correlationId: id,
        replyTo,
        expiresAt: row.until,
        key,
        subject,
        priority,
        headers,
      } as never,
    )
    if (!(await store.states.save(tx, this.#kind, id, 0, written(row), { wakeAt: row.until })))
      throw createError({ code: 'TRANSACTION_CONFLICT', message: `there is a request ${id} already` })
    this.#afterCommit.note(tx, () => {
      this.#stats.requested++
      this.#scan?.at(row.until)
    })
    return { id }
  }

  async cancel(tx: unknown, id: string): Promise<boolean> {
    const { states } = this.#settings.store
    const found = await states.load(tx, this.#kind, id)
    if (found === undefined) return false
    const row = readRow(id, found.state)
    if (!waits(row)) return false
    const saved = await states.save(tx, this.#kind, id, found.version, written({ ...row, status: 'cancelled' }), {
      done: true,
    })
    if (!saved) throw endedMeanwhile(id)
    return true
  }

  // Several processes look: the one whose compare-and-set goes through has the timeout published, with the same commit.
  async #expire(id: string): Promise<void> {
    const { store, outbox, replies, world } = this.#settings
    await store.transaction(async (tx) => {
      const found = await store.states.load(tx, this.#kind, id)
      if (found === undefined) return
      const row = readRow(id, found.state)
      if (row.status !== 'open' || row.until > world.clock.wallNow()) return
      const next = written({ ...row, status: 'timing-out' })
      // Somebody else was faster: another process, or a reply, which may not have been the last one.
      if (!(await store.states.save(tx, this.#kind, id, found.version, next, { wakeAt: NEVER_DUE })))
        return this.#scan?.at(world.clock.wallNow())
      await outbox.publish(
        tx,
        replies as never,
        { type: TIMED_OUT, id: `timeout:${id}`, correlationId: id, key: id } as never,
      )
    })
  }

  async pending(limit?: number): Promise<readonly PendingRequest[]> {
    const { store } = this.#settings
    const most = countOption('limit', limit, 100)
    const ids = await store.states.due(this.#kind, NEVER_DUE, most)
    if (ids.length === 0) return []
    return await store.transaction(async (tx) => {
      const pending: PendingRequest[] = []
      for (const id of ids) {
        const found = await store.states.load(tx, this.#kind, id)
        const row = found === undefined ? undefined : readRow(id, found.state)
        if (row !== undefined && waits(row)) pending.push(shown(id, row))
      }
      return pending
    })
  }

  stats(): StoredRequesterStats {
    return { ...this.#stats }
  }

  health(): ConsumerHealth {
    return this.#consumer.health()
  }

  close(options: { readonly withinMs?: number | undefined } = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing
    return closeWithin(options, 30_000, (withinMs) => {
      this.#closing = this.#close(withinMs)
      return this.#closing
    })
  }

  async #close(withinMs: number): Promise<void> {
    this.#afterCommit.stop()
    this.#purger?.stop()
    await this.#scan?.stop()
    await this.#consumer.close({ withinMs })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    const { transport, channel, replies, scanEveryMs, keeping, timeoutMs, handlers, store } = this.#settings
    return {
      what: 'stored-requester',
      name: this.name,
      layers: [],
      transport: transport.name,
      store: (store as { readonly name?: string }).name,
      channel: channel.name,
      replies: replies.name,
      types: [...handlers.keys()],
      options: { timeoutMs, scanEveryMs, keepDoneMs: keeping === false ? false : keeping.doneMs },
    }
  }
}

function shown(id: string, row: RequestRow): PendingRequest {
  const { replies, status, state } = row
  return { ...requestOf(id, row), status: status === 'open' ? 'open' : 'timing-out', replies, state }
}

async function checkedState(schema: AnySchema, type: string, state: unknown): Promise<void> {
  const judged = await validate(schema, state)
  if (judged.ok) return
  const issues = judged.issues.map(({ path, message }) => ({ path: path === '' ? 'state' : `state.${path}`, message }))
  throw createError({
    code: 'INVALID_INPUT',
    message: `the state of a request ${type}: ${issueLine(issues)}`,
    details: { issues },
  })
}
