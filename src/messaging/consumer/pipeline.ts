// From a message to the answer of its handler: decode > upcast > validate > inbox > layers > handler. What the answer means is judged elsewhere.
import { inherited, withInherited } from '../../core/async-context.ts'
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
 * answer that is judged (a `Judged`, where it is more than the handler's own). The broker hears of it only afterwards: so an acknowledgement comes after the commit.
 * It rejects with what should be retried. `next` takes the message, or as much of the batch as is to be handled.
 */
export type AroundHandler = (run: Run, next: (request: unknown) => unknown) => unknown

const RUN = Symbol('run')

/** Built once per consumer. */
export class Pipeline {
  readonly #settings: Settings
  readonly #around: AroundHandler | undefined
  readonly #layered: Handler<unknown, unknown> | undefined

  constructor(settings: Settings, around?: AroundHandler | undefined) {
    this.#settings = settings
    this.#around = around
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
    const around = this.#around
    if (around === undefined) return withInherited(run, () => this.#run(run, run.request))
    // A driver may call back out of its own async context.
    const next = (request: unknown): unknown =>
      inherited() === run ? this.#run(run, request) : withInherited(run, () => this.#run(run, request))
    return withInherited(run, () => around(run, next))
  }

  #run(run: Run, request: unknown): unknown {
    if (this.#layered === undefined) return this.#handle(request, run)
    run.call.locals.set(RUN, run)
    const result = this.#layered(request, run.call)
    return isRefusal(result) ? Promise.reject(result.refused) : result
  }

  // With layers the context may be a fork with a tighter deadline; the handler still gets its own, whose signal ends with the run.
  #handle(request: unknown, run: Run): unknown {
    const { entry } = run
    return entry === undefined ? this.#call(request, run) : entry.call(() => this.#call(request, run))
  }

  #call(request: unknown, run: Run): unknown {
    const { batch, handlers } = this.#settings
    if (batch !== undefined) return batch(request as readonly AnyMessageOf<MessageTypes>[], run)
    return handlers.get((request as Message).type)?.(request as never, run)
  }
}
