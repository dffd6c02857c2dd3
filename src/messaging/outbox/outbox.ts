// Publishes by committing: what is said in a transaction is written with it, and a relay takes it from there.
import type { Clock } from '../../core/clock.ts'
import type { DeadRow, OutboxStats } from '../../core/contracts/store.ts'
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { bytesAbove } from '../../core/envelope.ts'
import type { Events } from '../../core/events.ts'
import { instantSource } from '../../core/instant.ts'
import type { Envelope } from '../../core/message.ts'
import { ageOption, countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { tellEach } from '../../core/settle.ts'
import { uuidSource } from '../../core/uuid.ts'
import { createError, withDetails } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { SEAMS, world } from '../../policies/seams.ts'
import { isChannel } from '../channel.ts'
import { type EncodeOptions, encodeMessage } from '../encode.ts'
import { isCarriable } from '../fields.ts'
import type { Channel, MessageTypes, Publishable } from '../types.ts'
import { Announcer } from './announcer.ts'
import { Buffered, type Call, noTransaction } from './buffered.ts'
import type { Outbox, OutboxOptions, OutboxPlace, OutboxReceipt } from './types.ts'

const OPTIONS = ['source', 'maxPayloadBytes', 'announceEveryMs', ...SEAMS]
// A URI reference (RFC 3986), loosely: what it never contains.
const SOURCE = /^[^\s<>"{}|\\^`\p{Cc}]{1,1024}$/u
// What every broker takes at its defaults: Kafka counts 1 MiB with all that it adds.
const MAX_PAYLOAD_BYTES = 1_000_000
const WEEK_MS = 7 * 86_400_000
const PURGED_AT_ONCE = 1_000

/**
 * Makes an outbox of a store, whose transactions its messages are part of. Make one for each store, and keep it as long: it listens to the commits of the store for good.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const outbox = createOutbox(store)
 * await store.transaction(async (tx) => {
 *   await tx.query('insert into orders (id) values ($1)', [orderId])
 *   await outbox.publish(tx, Orders, { type: 'order.placed', key: orderId, data: { orderId } })
 * })
 */
export function createOutbox<Tx>(place: OutboxPlace<Tx>, options: OutboxOptions = {}): Outbox<Tx> {
  knownOptions('createOutbox', options, OPTIONS)
  if (
    typeof place?.outbox?.append !== 'function' ||
    typeof place.beforeCommit !== 'function' ||
    typeof place.onCommitted !== 'function' ||
    typeof place.isTransaction !== 'function'
  )
    throw invalidOption('store', place, 'give a store: memoryStore() for example')
  const source = options.source ?? (place.owner === undefined ? '/outbox' : `/${place.owner}`)
  if (typeof source !== 'string' || !SOURCE.test(source) || !isCarriable(source))
    throw invalidOption('source', source, "give a URI reference that names the sender, such as '/shop/orders'")
  const { announceEveryMs = false } = options
  const { clock, newId, events } = world(options)
  return new StoreOutbox(place, {
    source,
    maxPayloadBytes: countOption('maxPayloadBytes', options.maxPayloadBytes, MAX_PAYLOAD_BYTES),
    announceEveryMs: announceEveryMs === false ? false : durationOption('announceEveryMs', announceEveryMs, 0),
    clock,
    events,
    encode: { source, clock, newId: newId ?? uuidSource(clock), time: instantSource(clock) },
  })
}

interface Settings {
  readonly source: string
  readonly maxPayloadBytes: number
  readonly announceEveryMs: number | false
  readonly clock: Clock
  readonly events: Events
  readonly encode: EncodeOptions
}

class StoreOutbox<Tx> implements Outbox<Tx> {
  readonly place: OutboxPlace<Tx>
  readonly source: string
  readonly maxPayloadBytes: number
  readonly #settings: Settings
  readonly #buffered: Buffered<Tx>
  readonly #announcer: Announcer | undefined
  readonly #listeners: Set<() => void>
  /** Transactions with messages whose commit is still to come. One that is rolled back stays, for a needless look at the next commit of the same client. */
  readonly #uncommitted: WeakSet<object>

  constructor(place: OutboxPlace<Tx>, settings: Settings) {
    const { source, maxPayloadBytes, announceEveryMs, clock, events } = settings
    this.place = place
    this.source = source
    this.maxPayloadBytes = maxPayloadBytes
    this.#settings = settings
    this.#listeners = new Set()
    this.#uncommitted = new WeakSet()
    this.#buffered = new Buffered(place, (tx, foreign) => {
      // Nobody tells of the commit of a transaction of the user's own. It cannot be far: relays that are told now look again soon.
      if (foreign) this.#wake()
      else this.#uncommitted.add(tx as object)
    })
    const { outbox } = place
    this.#announcer =
      announceEveryMs === false || outbox.announce === undefined
        ? undefined
        : new Announcer(
            announceEveryMs,
            clock,
            async () => await outbox.announce?.(),
            (error) => {
              if (events.heard) events.emit({ type: 'outbox-announce-failed', outbox: source, error: classify(error) })
            },
          )
    place.onCommitted((tx) => {
      if (this.#uncommitted.delete(tx as object)) this.#wake()
    })
  }

  async publish(tx: Tx, channel: Channel<any>, messages: object | readonly object[]): Promise<any> {
    const many = Array.isArray(messages)
    if (!isChannel(channel)) throw invalidOption('channel', channel, 'give what queue() or topic() made')
    if (!this.place.isTransaction(tx)) throw noTransaction()
    const call = this.#call(channel, many ? messages : [messages])
    // Before anything is waited for: the order is that of the calls.
    const appending = this.#buffered.note(tx, call) ? undefined : this.#buffered.append(tx, call)
    if (call.validated !== undefined) await call.validated
    await appending
    const receipts = (call.envelopes ?? []).map(({ id }): OutboxReceipt => ({ id }))
    return many ? receipts : receipts[0]
  }

  // Encodes before anything is waited for. What is refused at once is thrown, and the transaction never hears of it.
  #call(channel: Channel, messages: readonly object[]): Call {
    const encoding = messages.map((message, at) => this.#encode(channel, message, messages.length > 1 ? at : undefined))
    if (!encoding.some((each) => each instanceof Promise))
      return { channel, envelopes: encoding as readonly Envelope[], validated: undefined, refused: false }
    const validated = Promise.all(encoding).then(
      (envelopes) => {
        call.envelopes = envelopes
        return envelopes
      },
      (error) => {
        call.refused = true
        throw error
      },
    )
    const call: Call = { channel, envelopes: undefined, validated, refused: false }
    return call
  }

  #encode(channel: Channel, message: object, index: number | undefined): Envelope | Promise<Envelope> {
    const failed = (error: unknown): never => {
      const known = classify(error)
      throw index === undefined ? known : withDetails(known, { index })
    }
    const checked = (envelope: Envelope): Envelope => {
      const limit = this.maxPayloadBytes
      const bytes = bytesAbove(limit, envelope)
      if (bytes === undefined) return envelope
      throw createError({
        code: 'PAYLOAD_TOO_LARGE',
        message: `${envelope.attributes['type']} for ${channel.kind} ${channel.name}: it has ${bytes} bytes, and the outbox takes ${limit}`,
        channel: channel.name,
        details: { id: envelope.id, bytes, limit },
      })
    }
    try {
      const made = encodeMessage(channel, message as Publishable<MessageTypes>, this.#settings.encode)
      return made instanceof Promise ? made.then(checked).catch(failed) : checked(made)
    } catch (error) {
      return failed(error)
    }
  }

  async stats(): Promise<OutboxStats> {
    return await this.place.outbox.stats()
  }

  async *dead(options: { readonly limit?: number | undefined } = {}): AsyncIterable<DeadRow> {
    knownOptions('dead', options, ['limit'])
    yield* this.place.outbox.dead(countOption('limit', options.limit, 100))
  }

  async skip(ids: readonly string[]): Promise<number> {
    if (!isTexts(ids)) throw invalidOption('ids', ids, 'give a list of message ids')
    const count = ids.length === 0 ? 0 : await this.place.outbox.skip(ids)
    if (count > 0) this.#wake()
    return count
  }

  async redrive(ids: readonly string[] | 'all'): Promise<number> {
    if (ids !== 'all' && !isTexts(ids)) throw invalidOption('ids', ids, "give a list of message ids, or 'all'")
    const count = ids.length === 0 ? 0 : await this.place.outbox.redrive(ids)
    if (count > 0) this.#wake()
    return count
  }

  async purge(options: Parameters<Outbox<Tx>['purge']>[0] = {}): Promise<number> {
    knownOptions('purge', options, ['olderThanMs', 'limit', 'dead'])
    const olderThanMs = ageOption('olderThanMs', options.olderThanMs, WEEK_MS)
    const most = options.limit === undefined ? Infinity : countOption('limit', options.limit, 1)
    const { dead = false } = options
    if (typeof dead !== 'boolean') throw invalidOption('dead', dead, 'give true or false')
    let purged = 0
    // One statement that deletes millions of rows would hold them, and the log, for as long as it takes.
    while (purged < most) {
      const limit = Math.min(PURGED_AT_ONCE, most - purged)
      const count = await this.place.outbox.purge({ olderThanMs, limit, dead })
      purged += count
      if (count < limit) break
    }
    return purged
  }

  onAppended(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => {
      this.#listeners.delete(own)
    }
  }

  #wake(): void {
    tellEach(this.#listeners)
    this.#announcer?.tell()
  }

  [DESCRIBE](): Description {
    const { source, maxPayloadBytes, announceEveryMs } = this.#settings
    const { name, owner } = this.place
    return {
      what: 'outbox',
      name: source,
      store: name,
      ...(owner === undefined ? {} : { owner }),
      options: { maxPayloadBytes, announceEveryMs },
      layers: [],
    }
  }
}

function isTexts(ids: unknown): ids is readonly string[] {
  return Array.isArray(ids) && ids.every((id) => typeof id === 'string')
}
