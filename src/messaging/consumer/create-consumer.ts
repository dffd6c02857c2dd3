// The consumer runtime, one for all brokers: takes messages as there is room for them, keeps the order of each key, tries again what may go well later,
// gives up what never will, and loses nothing when it ends.
import { detached } from '../../core/async-context.ts'
import type { Backlog } from '../../core/contracts/transport.ts'
import { DESCRIBE, type Description, describe, type LayerDescription } from '../../core/describe.ts'
import { closeWithin } from '../../core/lifecycle.ts'
import type { ConsumerState } from '../../core/message-events.ts'
import { endsWithin } from '../../core/patience.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { aroundWithInbox } from '../inbox/around.ts'
import { Purger } from '../inbox/purger.ts'
import type { MessageTypes } from '../types.ts'
import { Desk } from './desk.ts'
import { Gate } from './gate.ts'
import { Intake } from './intake.ts'
import { type Settings, settingsOf } from './options.ts'
import { type AroundHandler, Pipeline } from './pipeline.ts'
import { Teller } from './telling.ts'
import { Throttle } from './throttle.ts'
import type { CloseOptions, Consumer, ConsumerHealth, ConsumerOptions, InboxConsumerOptions } from './types.ts'

/**
 * Makes a consumer; nothing is taken before `start()`.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport cannot do what is asked for
 * @example
 * const billing = createConsumer({ transport, channel: Orders, group: 'billing', handlers: {
 *   'order.placed': async ({ data }, { signal }) => { await invoice(data.orderId, { signal }) },
 * } })
 * await billing.start()
 */
export function createConsumer<Types extends MessageTypes>(options: ConsumerOptions<Types>): Consumer
/**
 * Makes a consumer with an inbox: each message is handled once, as far as the database of the handler's transaction goes.
 * @throws FairleadError `INVALID_OPTIONS`, also where the store forgets sooner than a message can come again; `CAPABILITY_MISSING`
 * @example
 * const billing = createConsumer({ transport, channel: Orders, group: 'billing', inbox: store, handlers: {
 *   'order.placed': async ({ data }, { tx }) => { await tx.query('insert into invoices (order_id) values ($1)', [data.orderId]) },
 * } })
 */
export function createConsumer<Types extends MessageTypes, Tx>(options: InboxConsumerOptions<Types, Tx>): Consumer
export function createConsumer<Types extends MessageTypes>(
  options: ConsumerOptions<Types> | InboxConsumerOptions<Types, unknown>,
): Consumer {
  return new Runtime(settingsOf(options))
}

type Base = 'idle' | 'starting' | 'running' | 'restarting' | 'closing' | 'closed'

class Runtime implements Consumer {
  readonly #settings: Settings
  readonly #teller: Teller
  readonly #throttle: Throttle | undefined
  readonly #gate: Gate | undefined
  readonly #desk: Desk
  readonly #intake: Intake
  readonly #purger: Purger | undefined
  #base: Base
  #paused: boolean
  #told: ConsumerState
  #since: number
  #starting: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(settings: Settings) {
    const { world, channel, group, throttle, trigger } = settings
    this.#settings = settings
    this.#teller = new Teller(world.events, world.clock, channel.name, group)
    this.#throttle =
      throttle === undefined
        ? undefined
        : new Throttle(throttle, world.clock, world.random, (step, waitMs) => {
            if (step !== 'due') this.#teller.throttled(step, waitMs)
            this.#changed()
            this.#desk.soon()
          })
    this.#gate =
      trigger === undefined
        ? undefined
        : new Gate(trigger, settings, {
            changed: () => this.#desk.soon(),
            take: (count) => this.#intake.topUp(Math.min(count + this.#intake.outstanding, this.#room()), 1),
            failed: (error) => this.#failed(this.#asError(error)),
          })
    this.#desk = new Desk({
      settings,
      pipeline: new Pipeline(settings, this.#around()),
      teller: this.#teller,
      throttle: this.#throttle,
      gate: this.#gate,
      afterRound: () => this.#topUp(),
    })
    this.#intake = new Intake(settings, {
      arrived: (delivery, subscription) => this.#desk.arrive(delivery, subscription),
      ended: (subscription, error, again) => {
        this.#failed(error)
        this.#desk.loseAll(subscription, error)
        if (again) this.#become('restarting', error)
        else if (this.#closing === undefined) void this.close({ withinMs: this.#settings.handlerTimeoutMs })
      },
      restarted: (tries, elapsedMs) => {
        this.#teller.restarted(tries, elapsedMs)
        if (this.#base === 'restarting') this.#become('running')
        this.#topUp()
      },
      failed: (error) => this.#failed(error),
    })
    const { inbox } = settings
    this.#purger =
      inbox === undefined || inbox.purgeEveryMs === false
        ? undefined
        : new Purger(inbox.place.inbox, inbox.purgeEveryMs, world.clock, world.random, {
            purged: (entries) => this.#teller.purged(entries),
            failed: (error) => this.#teller.inboxFailed('purge', this.#asError(error)),
          })
    this.#base = 'idle'
    this.#paused = false
    this.#told = 'idle'
    this.#since = world.clock.wallNow()
    this.#starting = undefined
    this.#closing = undefined
  }

  start(): Promise<void> {
    if (this.#closing !== undefined)
      return Promise.reject(
        createError({ code: 'SHUTDOWN', message: 'the consumer is closed', channel: this.#settings.channel.name }),
      )
    // What runs here for months must not belong to the request, or the test, that happened to start it.
    this.#starting ??= detached(() => this.#start())
    return this.#starting
  }

  async #start(): Promise<void> {
    this.#become('starting')
    try {
      const { prepare } = this.#settings
      if (prepare !== false) await this.#prepare(prepare)
      if (this.#base === 'starting') await this.#intake.start()
    } catch (error) {
      this.#starting = undefined
      const known = this.#asError(error)
      this.#failed(known)
      if (this.#base === 'starting') this.#become('idle', known)
      throw known
    }
    if (this.#base !== 'starting') return
    this.#become('running')
    this.#gate?.start()
    this.#purger?.start()
    this.#topUp()
  }

  #around(): AroundHandler | undefined {
    const { inbox, transport, maxDeliveries, world } = this.#settings
    if (inbox === undefined) return undefined
    return aroundWithInbox({
      place: inbox.place,
      name: inbox.name,
      maxDeliveries,
      redeliveryCount: transport.capabilities.redeliveryCount,
      world,
      teller: this.#teller,
      failed: (error) => this.#teller.inboxFailed('count', this.#asError(error)),
    })
  }

  // The group is left to the subscription, which knows where a new one starts.
  async #prepare(mode: 'create' | 'check'): Promise<void> {
    const { transport, channel, group } = this.#settings
    const { kind, name } = channel
    await transport.prepare([mode === 'check' && group !== undefined ? { kind, name, group } : { kind, name }], mode)
  }

  pause(): void {
    if (this.#paused || this.#closing !== undefined) return
    this.#paused = true
    this.#desk.hold('hold')
    this.#changed()
  }

  resume(): void {
    if (!this.#paused || this.#closing !== undefined) return
    this.#paused = false
    this.#desk.go()
    this.#changed()
  }

  close(options: CloseOptions = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing
    return closeWithin(options, 30_000, (withinMs) => {
      this.#closing = detached(() => this.#close(withinMs))
      return this.#closing
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // Nothing arrives any more; what has not begun goes back; handlers end, or are ended; the broker is told; then the subscription goes.
  async #close(withinMs: number): Promise<void> {
    const { world } = this.#settings
    const { clock } = world
    const until = clock.now() + withinMs
    const graceMs = Math.min(withinMs / 10, 1_000)
    this.#become('closing')
    this.#gate?.stop()
    this.#throttle?.stop()
    this.#purger?.stop()
    // First, or what is given back would be handed to us again.
    const stopping = this.#intake.stop(withinMs)
    this.#desk.hold('end')
    await stopping
    const left = until - graceMs - clock.now()
    if (!(await this.#ended(left))) {
      this.#desk.calls.abortAll(
        createError({ code: 'SHUTDOWN', message: 'the consumer is closing', channel: this.#settings.channel.name }),
      )
      if (!(await this.#ended(until - clock.now()))) this.#desk.calls.leaveAllAlone()
    }
    await this.#intake.close(Math.max(graceMs, 1_000))
    this.#desk.clear()
    this.#become('closed')
  }

  async #ended(ms: number): Promise<boolean> {
    if (this.#desk.running === 0 && this.#desk.all.size === 0) return true
    return ms > 0 && (await endsWithin(this.#desk.idle(), ms, this.#settings.world.clock))
  }

  health(): ConsumerHealth {
    const { running, all, calls, lastError } = this.#desk
    return {
      state: this.#state(),
      since: this.#since,
      inFlight: running,
      held: all.size,
      abandoned: calls.abandoned,
      ...(lastError === undefined ? {} : { lastError }),
    }
  }

  async lag(): Promise<Backlog | undefined> {
    const { transport, from } = this.#settings
    return await transport.inspect?.(from)
  }

  [DESCRIBE](): Description {
    const { transport, channel, group, layers, throttle, trigger, deadLetter, handlers, batch } = this.#settings
    const { concurrency, prefetch, handlerTimeoutMs, immediate, delayedMs, jitter } = this.#settings
    const { onFailure, maxDeliveries, prepare, unknownType, unhandledType, expired, inbox } = this.#settings
    return {
      what: 'consumer',
      name: group ?? channel.name,
      transport: transport.name,
      channel: { kind: channel.kind, name: channel.name },
      ...(group === undefined ? {} : { group }),
      handles: batch === undefined ? [...handlers.keys()] : 'batches',
      options: {
        concurrency,
        prefetch,
        handlerTimeoutMs,
        retries: { immediate, delayedMs, jitter },
        onFailure,
        maxDeliveries,
        prepare,
        unknownType,
        unhandledType,
        expired,
        deadLetter: typeof deadLetter === 'string' ? deadLetter : deadLetter.channel,
        trigger: trigger === undefined ? 'on-arrival' : { name: trigger.name, ...trigger.options },
        throttle: throttle ?? false,
        ...(inbox === undefined
          ? {}
          : {
              inbox: {
                name: inbox.name,
                retentionMs: inbox.place.inbox.retentionMs,
                redriveWithinMs: inbox.redriveWithinMs,
                purgeEveryMs: inbox.purgeEveryMs,
              },
            }),
      },
      layers: layers.map(
        (layer): LayerDescription =>
          DESCRIBE in layer ? describe<LayerDescription>(layer) : { layer: layer.name || 'layer', options: {} },
      ),
    }
  }

  #room(): number {
    return this.#desk.room
  }

  #topUp(): void {
    if (this.#base !== 'running' || this.#paused || this.#gate?.counted === true) return
    this.#intake.topUp(this.#room(), this.#settings.prefetch)
  }

  #state(): ConsumerState {
    if (this.#base !== 'running' && this.#base !== 'restarting') return this.#base
    if (this.#paused) return 'paused'
    if (this.#base === 'restarting') return 'restarting'
    return this.#throttle?.on === true ? 'throttled' : 'running'
  }

  #become(base: Base, error?: FairleadError): void {
    this.#base = base
    this.#changed(error)
  }

  #changed(error?: FairleadError): void {
    const state = this.#state()
    const was = this.#told
    if (state === was) return
    this.#told = state
    this.#since = this.#settings.world.clock.wallNow()
    this.#teller.state(state, was, error)
  }

  #failed(error: FairleadError): void {
    this.#desk.lastError = error
  }

  #asError(error: unknown): FairleadError {
    const { transport, channel } = this.#settings
    return classify(error, { transport: transport.name, channel: channel.name })
  }
}
