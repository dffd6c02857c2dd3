// From a message to the answer of its handler: decode > upcast > validate > inbox > layers > handler. What the answer means is judged elsewhere.
import { withInherited } from '../../core/async-context.ts'
import { compose, type Handler, isRefusal } from '../../core/handler.ts'
import type { Message } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import { decodeMessage } from '../decode.ts'
import type { AnyMessageOf, MessageTypes } from '../types.ts'
import type { Held } from './held.ts'
import type { Settings } from './options.ts'
import type { Run } from './run.ts'

/**
 * The place of the inbox (and of what is sent along with the effects of a handler): around layers and handler, inside decoding and settling.
 * It decides whether the handler runs at all (a duplicate is answered without), may give it more (a transaction), and what it resolves with is the
 * answer that is judged. The broker hears of it only afterwards: so an acknowledgement comes after the commit. It rejects with what should be retried.
 */
export type InboxPlace = (run: Run, next: () => unknown) => unknown

const RUN = Symbol('run')

/** Built once per consumer. */
export class Pipeline {
  readonly #settings: Settings
  readonly #inbox: InboxPlace | undefined
  readonly #layered: Handler<unknown, unknown> | undefined

  constructor(settings: Settings, inbox?: InboxPlace | undefined) {
    this.#settings = settings
    this.#inbox = inbox
    this.#layered =
      settings.layers.length === 0
        ? undefined
        : compose<unknown, unknown, Run['call']>(settings.layers, async (request, context) =>
            this.#handle(request, context.locals.get(RUN) as Run),
          )
  }

  /** A promise only where decoding or the schema takes one. @throws FairleadError `MESSAGE_UNDECODABLE`, `MESSAGE_UNHANDLED`, `MESSAGE_INVALID` */
  decode(held: Held): Message | Promise<Message> {
    const { channel, batch, handlers, world } = this.#settings
    const { envelope } = held.delivery
    const type = envelope.attributes['type']
    // Before the work of decoding. A type that the channel has not is told by the decoding itself.
    if (batch === undefined && type !== undefined && !handlers.has(type) && Object.hasOwn(channel.types, type))
      throw createError({
        code: 'MESSAGE_UNHANDLED',
        message: `the consumer of ${channel.name} has no handler for ${type}`,
        channel: channel.name,
        details: { id: held.id, type },
      })
    return envelope.attributes['time'] === undefined
      ? (decodeMessage(channel, envelope, { timeIfNone: world.clock.wallNow() }) as Message | Promise<Message>)
      : (decodeMessage(channel, envelope) as Message | Promise<Message>)
  }

  /** Runs the handler. What it returns, throws, or refuses comes out as it is; a promise only where there is one. */
  call(run: Run): unknown {
    return withInherited(
      run,
      this.#inbox === undefined ? () => this.#run(run) : () => this.#inbox?.(run, () => this.#run(run)),
    )
  }

  #run(run: Run): unknown {
    if (this.#layered === undefined) return this.#handle(run.request, run)
    run.call.locals.set(RUN, run)
    const result = this.#layered(run.request, run.call)
    return isRefusal(result) ? Promise.reject(result.refused) : result
  }

  // With layers the context may be a fork with a tighter deadline; the handler still gets its own, whose signal ends with the run.
  #handle(request: unknown, run: Run): unknown {
    const { batch, handlers } = this.#settings
    if (batch !== undefined) return batch(request as readonly AnyMessageOf<MessageTypes>[], run)
    return handlers.get((request as Message).type)?.(request as never, run)
  }
}
