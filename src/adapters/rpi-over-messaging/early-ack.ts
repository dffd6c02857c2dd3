// Lets a handler take its message off the queue before it works on it: what must not be done twice is then not handed out a second time.
import type { Delivery, MessageTransport, Receiver } from '../../core/contracts/transport.ts'
import { createError } from '../../errors/classes.ts'

const DELIVERY_HEADER = 'fairlead-delivery'

/** A transport whose deliveries can be acknowledged early. */
export interface EarlyAck {
  readonly transport: MessageTransport
  /**
   * Acknowledges the message with these headers now. Once it resolves the message is nobody else's: whatever is said of it later says nothing, and its right cannot be lost any more.
   * @throws FairleadError what the transport says: it may come again then
   */
  take(headers: Readonly<Record<string, string>>): Promise<void>
}

/** Makes one of a transport, which stays as it is. */
export function earlyAck(inner: MessageTransport): EarlyAck {
  const held = new Map<string, Taken>()
  let count = 0
  const receive: MessageTransport['receive'] = async (from, sink) => {
    const mine = new Set<string>()
    const receiver = await inner.receive(from, (delivery) => {
      const name = String(++count)
      const taken = new Taken(delivery, name, () => {
        held.delete(name)
        mine.delete(name)
      })
      held.set(name, taken)
      mine.add(name)
      sink(taken)
    })
    const over = (): void => {
      for (const name of mine) held.delete(name)
      mine.clear()
    }
    receiver.ended.then(over, over)
    return receiver satisfies Receiver
  }
  return {
    transport: {
      name: inner.name,
      capabilities: inner.capabilities,
      prepare: (channels, mode) => inner.prepare(channels, mode),
      send: (channel, envelopes, context) => inner.send(channel, envelopes, context),
      receive,
      ...(inner.inspect === undefined
        ? {}
        : { inspect: (from, minPriority) => (inner.inspect as NonNullable<typeof inner.inspect>)(from, minPriority) }),
      deadLetters: inner.deadLetters,
      close: () => inner.close(),
    },
    async take(headers) {
      const taken = held.get(headers[DELIVERY_HEADER] ?? '')
      if (taken === undefined) throw createError({ code: 'LEASE_LOST', transport: inner.name })
      await taken.take()
    },
  }
}

class Taken implements Delivery {
  readonly envelope: Delivery['envelope']
  readonly lane: string | undefined
  readonly position: string | undefined
  readonly redeliveries: number | undefined
  readonly leaseMs: number | undefined
  readonly extend?: (ms: number) => Promise<void>
  readonly onRevoking?: (listener: () => void) => () => void
  readonly #delivery: Delivery
  readonly #forget: () => void
  #taken: boolean

  constructor(delivery: Delivery, name: string, forget: () => void) {
    const { envelope } = delivery
    this.envelope = { ...envelope, headers: { ...envelope.headers, [DELIVERY_HEADER]: name } }
    this.lane = delivery.lane
    this.position = delivery.position
    this.redeliveries = delivery.redeliveries
    this.leaseMs = delivery.leaseMs
    this.#delivery = delivery
    this.#forget = forget
    this.#taken = false
    const { extend, onRevoking } = delivery
    if (extend !== undefined) this.extend = async (ms) => (this.#taken ? undefined : await extend.call(delivery, ms))
    if (onRevoking !== undefined)
      this.onRevoking = (listener) => onRevoking.call(delivery, () => (this.#taken ? undefined : listener()))
  }

  async take(): Promise<void> {
    await this.#delivery.settle('ack')
    this.#taken = true
    this.#forget()
  }

  onLost(listener: () => void): () => void {
    return this.#delivery.onLost(() => {
      if (this.#taken) return
      this.#forget()
      listener()
    })
  }

  async settle(...verdict: Parameters<Delivery['settle']>): Promise<void> {
    if (this.#taken) return
    await this.#delivery.settle(...verdict)
    this.#forget()
  }
}
