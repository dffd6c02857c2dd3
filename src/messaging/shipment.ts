// The messages of one publish call on their way: what is accepted is never sent again, what failed keeps its id.
import type { CallContext } from '../core/context.ts'
import type { MessageTransport, SendResult } from '../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../core/message.ts'
import type { FairleadError } from '../errors/base.ts'
import { createError, withFields } from '../errors/classes.ts'
import { classify } from '../errors/classify.ts'

interface Parcel {
  readonly envelope: Envelope
  status: 'accepted' | 'duplicate' | undefined
  error: FairleadError | undefined
  /** An attempt has sent it and its answer is not known: it may be there. */
  touched: boolean
  /** Attempts that are still waiting for an answer. */
  sending: number
}

/** What became of one message. Where it failed, `error.effect` says whether it may be there all the same. */
export type PublishResult =
  | { readonly id: string; readonly status: 'accepted' | 'duplicate' }
  | { readonly id: string; readonly status: 'failed'; readonly error: FairleadError }

/** The messages of one call, over all its attempts. */
export class Shipment {
  readonly channel: ChannelAddress
  readonly #transport: MessageTransport
  readonly #parcels: readonly Parcel[]

  constructor(channel: ChannelAddress, envelopes: readonly Envelope[], transport: MessageTransport) {
    this.channel = channel
    this.#transport = transport
    this.#parcels = envelopes.map((envelope) => ({
      envelope,
      status: undefined,
      error: undefined,
      touched: false,
      sending: 0,
    }))
  }

  /** One attempt. Rejects with the first failure that a further attempt would send again, or else the first. */
  async send(context: CallContext): Promise<void> {
    const out = this.#unsent()
    if (out.length > 0) {
      for (const parcel of out) parcel.sending++
      const results = await this.#ask(out, context)
      for (const [at, parcel] of out.entries()) this.#note(parcel, results[at], context)
    }
    const lead = this.#unsent()[0] ?? this.#parcels.find(({ status }) => status === undefined)
    if (lead !== undefined) throw lead.error
  }

  // What failed for good is not sent again, nor what stands behind it in the order of its key.
  #unsent(): readonly Parcel[] {
    const blocked = new Set<string>()
    return this.#parcels.filter(({ status, error, envelope: { key } }) => {
      if (status !== undefined) return false
      if (key !== undefined && blocked.has(key)) return false
      if (error === undefined || error.transient) return true
      if (key !== undefined) blocked.add(key)
      return false
    })
  }

  async #ask(out: readonly Parcel[], context: CallContext): Promise<readonly (SendResult | undefined)[]> {
    try {
      return await this.#transport.send(
        this.channel,
        out.map(({ envelope }) => envelope),
        context,
      )
    } catch (error) {
      // A transport never rejects; one that does all the same has said nothing of any message.
      return out.map(() => ({ status: 'failed', error }))
    }
  }

  #note(parcel: Parcel, result: SendResult | undefined, context: CallContext): void {
    parcel.sending--
    // The late answer of an attempt that was given up must not take back what a later one achieved.
    if (parcel.status !== undefined) return
    if (result === undefined) parcel.error = this.#silent(context)
    else if (result.status === 'failed') parcel.error = this.#known(result.error, context)
    else parcel.status = result.status
    if (parcel.status === undefined && parcel.error?.effect !== 'none') parcel.touched = true
  }

  #silent(context: CallContext): FairleadError {
    const message = `${this.#transport.name} said nothing of the message`
    return this.#known(createError({ code: 'PROTOCOL_VIOLATION', message }), context)
  }

  // As an error of this call, whatever calls the transport made of its own.
  #known(error: unknown, { attempt, aborted }: CallContext): FairleadError {
    return withFields(classify(error, { aborted }), {
      service: this.channel.name,
      operation: 'publish',
      transport: this.#transport.name,
      channel: this.channel.name,
      // The same message with the same id.
      idempotent: true,
      attempt,
    })
  }

  /** What became of each message, in order. `ended`: what the call ended with, for those that no attempt has an answer for. */
  outcomes(ended: FairleadError | undefined): readonly PublishResult[] {
    return this.#parcels.map((parcel) => {
      const { envelope, status } = parcel
      const { id } = envelope
      return status !== undefined ? { id, status } : { id, status: 'failed', error: this.#errorOf(parcel, ended) }
    })
  }

  #errorOf({ error, touched, sending }: Parcel, ended: FairleadError | undefined): FairleadError {
    const known = error ?? ended ?? createError({ code: 'CALL_FAILED' })
    const maybe = touched || sending > 0
    const effect = maybe
      ? known.effect === 'none'
        ? 'unknown'
        : known.effect
      : error === undefined
        ? 'none'
        : known.effect
    return effect === known.effect ? known : withFields(known, { effect })
  }
}
