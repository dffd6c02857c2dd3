// A receiver under observation: it remembers all that was handed to it, settles as it is told, and notes every breach of the rules that hold always.
import type { Delivery, ReceiveFrom, Receiver, SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { isFairleadError } from '../../errors/index.ts'

/** One delivery, and what became of it. Numbers are of one sequence over all collectors of a case, so that they can be compared. */
export interface Handed {
  readonly delivery: Delivery
  readonly envelope: Envelope
  /** The body as text. */
  readonly text: string
  readonly by: Collector
  readonly order: number
  /** Instant of the lab's clock. */
  readonly at: number
  /** Set when it is settled: the verdict, and its place in the sequence. */
  settled: { readonly verdict: SettleVerdict; readonly order: number } | undefined
  /** How often the right to settle was said to be lost; and when first, in the sequence and by the lab's clock. */
  lost: number
  lostOrder: number | undefined
  lostAt: number | undefined
  /** Whether settling it has resolved. */
  confirmed: boolean
  /** What settling it threw. */
  error: unknown
}

/** What to do with a delivery; `hold` leaves it to the case. */
export type Reaction = 'hold' | SettleVerdict | { readonly verdict: SettleVerdict; readonly options: SettleOptions }

/** How to collect. */
export interface CollectOptions {
  /** Asked for at once. Default 10. */
  readonly credit?: number | undefined
  /** Default `ack`. */
  readonly react?: Reaction | ((handed: Handed) => Reaction | Promise<Reaction>) | undefined
  /** Whether every settled delivery is followed by one more request. Default true. */
  readonly refill?: boolean | undefined
  /** Whether to receive again when the subscription ends on its own. Default false. */
  readonly again?: boolean | undefined
  readonly from?: ReceiveFrom['from']
  readonly temporary?: boolean | undefined
}

/** A receiver under observation. */
export interface Collector {
  readonly address: ChannelAddress
  /** All that was handed out to it, in order. */
  readonly handed: readonly Handed[]
  /** What it holds: handed out, not settled, not lost. */
  readonly held: readonly Handed[]
  /** How often the subscription ended on its own, and with what. */
  readonly ends: readonly unknown[]
  /** Whether `ended` has settled. */
  readonly over: boolean
  request(count: number): void
  settle(handed: Handed, verdict: SettleVerdict, options?: SettleOptions | undefined): Promise<void>
  stop(): Promise<void>
  close(): Promise<void>
}

const MOST_SHOWN = 40

/** A text in a message: its beginning. */
export function short(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text
}

/** What collectors of one case share. */
export interface Watch {
  /** Every delivery of every collector, in order. */
  readonly log: Handed[]
  /** Breaches of what holds always. */
  readonly breaches: string[]
  next(): number
  now(): number
  /** Set once the case has ended. */
  readonly ended: boolean
  /** A moment before something is tried again. */
  pause(): Promise<void>
  done<T>(what: string, work: Promise<T>): Promise<T>
}

const decoder = new TextDecoder()

/** Starts to collect. `subscribe` is `receive` of the transport, made ready. */
export async function startCollecting(
  subscribe: (sink: (delivery: Delivery) => void) => Promise<Receiver>,
  watch: Watch,
  options: CollectOptions,
): Promise<Collector> {
  const { credit = 10, react = 'ack', refill = true, again = false } = options
  const handed: Handed[] = []
  const held = new Set<Handed>()
  const ends: unknown[] = []
  let asked = 0
  let inCall = ''
  let finished = ''
  let over = false
  let receiver: Receiver

  // The sink must not be called on this stack.
  const calling = <T>(name: string, work: () => T): T => {
    const before = inCall
    inCall = name
    try {
      return work()
    } finally {
      inCall = before
    }
  }

  const collector: Collector = {
    get address() {
      return receiver.address
    },
    handed,
    get held() {
      return [...held]
    },
    ends,
    get over() {
      return over
    },
    request(count) {
      asked += count
      // What is handed out before the subscription stands is a breach of its own.
      calling('request', () => (receiver as Receiver | undefined)?.request(count))
    },
    settle(each, verdict, settleOptions) {
      each.settled ??= { verdict, order: watch.next() }
      held.delete(each)
      const work = calling('settle', () => each.delivery.settle(verdict, settleOptions))
      work.then(
        () => {
          each.confirmed = true
        },
        (error: unknown) => {
          each.error ??= error
        },
      )
      return watch.done(`settling ${short(each.text)} as ${verdict}`, work)
    },
    async stop() {
      await watch.done(
        'stopping a receiver',
        calling('stop', () => receiver.stop()),
      )
      finished = 'stop'
    },
    async close() {
      await watch.done(
        'closing a receiver',
        calling('close', () => receiver.close()),
      )
      finished = 'close'
    },
  }

  const respond = async (each: Handed): Promise<void> => {
    let reaction: Reaction = 'hold'
    try {
      reaction = typeof react === 'function' ? await react(each) : react
    } catch (error) {
      watch.breaches.push(`${short(each.text)}: ${String(error)}`)
    }
    if (reaction === 'hold') return
    const { verdict, options: how } =
      typeof reaction === 'string' ? { verdict: reaction, options: undefined } : reaction
    each.settled = { verdict, order: watch.next() }
    held.delete(each)
    try {
      await calling('settle', () => each.delivery.settle(verdict, how))
      each.confirmed = true
    } catch (error) {
      each.error = error
      if (!isFairleadError(error))
        watch.breaches.push(`settling ${short(each.text)} threw an error without a code: ${String(error)}`)
    }
    if (refill && finished === '' && !over) collector.request(1)
  }

  const take = (delivery: Delivery): void => {
    const { envelope } = delivery
    const each: Handed = {
      delivery,
      envelope,
      text: decoder.decode(envelope.body),
      by: collector,
      order: watch.next(),
      at: watch.now(),
      settled: undefined,
      lost: 0,
      lostOrder: undefined,
      lostAt: undefined,
      confirmed: false,
      error: undefined,
    }
    const breach = (what: string): void => void watch.breaches.push(`${what}: ${short(each.text) || envelope.id}`)
    if (inCall !== '') breach(`handed out from within ${inCall}()`)
    if (finished !== '') breach(`handed out after ${finished}() had resolved`)
    if (--asked < 0) breach('handed out more than was asked for')
    handed.push(each)
    held.add(each)
    watch.log.push(each)
    delivery.onLost(() => {
      if (++each.lost > 1) breach('the loss of one delivery was told more than once')
      each.lostOrder ??= watch.next()
      each.lostAt ??= watch.now()
      held.delete(each)
    })
    // Not on the stack of the sink: it is the transport's.
    queueMicrotask(() => void respond(each))
  }

  // A transport may keep to itself what a sink throws.
  const sink = (delivery: Delivery): void => {
    try {
      take(delivery)
    } catch (error) {
      watch.breaches.push(`what was handed out is no delivery: ${String(error)}`)
      throw error
    }
  }

  const start = async (): Promise<void> => {
    over = false
    asked = 0
    receiver = await subscribe(sink)
    const mine = receiver
    mine.ended.then(
      () => {
        over = true
      },
      (error: unknown) => {
        over = true
        ends.push(error)
        if (again && finished === '' && mine === receiver) void restart()
      },
    )
    if (credit > 0) collector.request(credit)
  }

  // A broker that is down refuses at once: ask again until it is up or the case is over.
  const restart = async (): Promise<void> => {
    while (finished === '' && !watch.ended) {
      try {
        return await start()
      } catch {
        await watch.pause()
      }
    }
  }

  await start()
  return collector
}
