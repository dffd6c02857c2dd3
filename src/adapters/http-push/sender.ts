// The sending half: one verdict per message, after every group that has to have it.
import { type CallContext, createContext } from '../../core/context.ts'
import type { DeadLetters, SendResult } from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import { bytesAbove } from '../../core/envelope.ts'
import { DEADLINE_HEADER, writeDeadline } from '../../core/http-wire.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { type FairleadError, wordsOf } from '../../errors/base.ts'
import { createError, type Stamp } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { type HttpMessage, toHttp } from '../../messaging/cloudevents/http.ts'
import type { HttpDispatcher } from '../http/undici.ts'
import { type Refused, RefusedList } from './dead-letters.ts'
import { deliver, type Outcome, type Tally } from './deliver.ts'
import { type Answer, exchange } from './exchange.ts'
import type { HttpPushSettings } from './options.ts'
import { nobody, type Route, type Routes, type Target } from './routes.ts'
import { closed, Scope } from './scope.ts'
import { Lanes } from './turns.ts'
import { CHANNEL_HEADER, GROUP_HEADER, placeKey, REDELIVERIES_HEADER, writeChannel } from './wire.ts'

/** `passed`: accepted, or out of the way among the dead letters: those of the key behind it may go. */
interface Verdict {
  readonly result: SendResult
  readonly passed: boolean
}

const ACCEPTED: Verdict = Object.freeze({ result: Object.freeze({ status: 'accepted' }), passed: true })
// Messages that some groups have and others not, or that were tried in vain: what is known of them until they are sent again.
const MOST_UNFINISHED = 10_000
// Beyond this, names and values go into the body: servers take 16 KiB of headers, and percent-encoding makes them up to three times as long.
const MOST_HEADER_BYTES = 4_096

interface Unfinished {
  readonly done: Set<string>
  readonly tallies: Map<string, Tally>
}

/** Sends, and keeps what was refused. */
export class Sender {
  readonly #settings: HttpPushSettings
  readonly #routes: Routes
  readonly #dispatcher: () => HttpDispatcher
  readonly #lanes = new Lanes()
  readonly #scopes = new Map<Scope, Promise<unknown>>()
  readonly #unfinished = new Map<string, Unfinished>()
  readonly #refused: RefusedList
  #closed = false

  constructor(settings: HttpPushSettings, routes: Routes, dispatcher: () => HttpDispatcher) {
    this.#settings = settings
    this.#routes = routes
    this.#dispatcher = dispatcher
    this.#refused = new RefusedList(settings.deadLetters, ({ route, envelope }) =>
      settings.tell({ type: 'dead-letter-dropped', place: route.place, id: envelope.id }),
    )
  }

  async send(
    channel: ChannelAddress,
    envelopes: readonly Envelope[],
    context: CallContext,
  ): Promise<readonly SendResult[]> {
    const results: SendResult[] = new Array(envelopes.length)
    const refuseAll = (error: unknown): readonly SendResult[] => envelopes.map(() => failure(error as Error))
    if (this.#closed) return refuseAll(this.#stamped(channel, context, closed('none')))
    return this.#within(context, async (scope) => {
      let routes: readonly Route[] | undefined
      try {
        routes = await this.#look(channel, scope)
      } catch (error) {
        return refuseAll(classify(error, { ...this.#facts(channel, context), effect: 'none' }))
      }
      if (scope.ending !== undefined) return refuseAll(this.#stamped(channel, context, scope.ending('none')))
      if (routes === undefined) return refuseAll(nobody(channel, this.#settings.name))
      const found = routes
      const one = async (at: number): Promise<Verdict> => {
        const envelope = envelopes[at] as Envelope
        const fault = this.#fault(channel, envelope, context)
        const verdict =
          fault === undefined ? await this.#one(channel, envelope, found, scope, context) : stuck(failure(fault))
        results[at] = verdict.result
        return verdict
      }
      const work: Promise<unknown>[] = []
      for (const [key, indices] of byKey(envelopes))
        if (key === undefined) work.push(...indices.map(one))
        else
          work.push(
            this.#lanes.run(`${placeKey(channel)} ${key}`, scope, async () => {
              let before: unknown
              let ahead = ''
              for (const at of indices) {
                if (before !== undefined) results[at] = failure(this.#behind(channel, key, ahead, before, context))
                else {
                  const { result, passed } = await one(at)
                  if (result.status === 'failed' && !passed) {
                    before = result.error
                    ahead = envelopes[at]?.id ?? ''
                  }
                }
              }
            }),
          )
      await Promise.all(work)
      return results
    })
  }

  get deadLetters(): DeadLetters | undefined {
    const refused = this.#refused
    if (this.#settings.deadLetters === 0) return undefined
    return {
      async *list(place, { limit }) {
        for (const { envelope, reason, at } of refused.of(place, limit)) yield { envelope, reason, at }
      },
      redrive: async (place, ids) => {
        if (this.#closed) throw this.#stamped(place, undefined, closed('none'))
        const taken = refused.take(place, ids)
        // Put back, they are on their way: whoever asked does not wait until they are handled.
        for (const each of taken) void this.#redrive(each)
        return taken.length
      },
    }
  }

  /** No more tries are begun; what is on its way has its time, and is cut then. */
  async close(): Promise<void> {
    this.#closed = true
    const { drainMs, clock } = this.#settings
    for (const scope of this.#scopes.keys()) scope.windDown(closed)
    const all = Promise.all(this.#scopes.values())
    if (await endsWithin(all, drainMs, clock)) return
    for (const scope of this.#scopes.keys()) scope.end(closed)
    await all
  }

  async #within<T>(context: CallContext, work: (scope: Scope) => Promise<T>): Promise<T> {
    const scope = new Scope(context, this.#settings.clock, (over) => this.#scopes.delete(over))
    const working = work(scope)
    this.#scopes.set(scope, working)
    try {
      return await working
    } finally {
      scope.dispose()
    }
  }

  // The user's function may never answer.
  #look(channel: ChannelAddress, scope: Scope): Promise<readonly Route[] | undefined> {
    if (scope.ending !== undefined) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      const stop = scope.onEnd(() => resolve(undefined))
      this.#routes.of(channel).then(resolve, reject).finally(stop)
    })
  }

  async #one(
    channel: ChannelAddress,
    envelope: Envelope,
    routes: readonly Route[],
    scope: Scope,
    context: CallContext,
  ): Promise<Verdict> {
    const name = `${placeKey(channel)} ${envelope.attributes['source'] ?? ''} ${envelope.id}`
    const known = this.#unfinished.get(name) ?? { done: new Set<string>(), tallies: new Map<string, Tally>() }
    const left = routes.filter(({ key }) => !known.done.has(key))
    const parcel = this.#parcel(envelope)
    const outcomes = await Promise.all(
      left.map((route) => {
        const tally = known.tallies.get(route.key) ?? { handedOut: 0 }
        known.tallies.set(route.key, tally)
        return this.#deliver(route, envelope, parcel, tally, scope, context)
      }),
    )
    let error: FairleadError | undefined
    outcomes.forEach((outcome, at) => {
      const { key } = left[at] as Route
      if (outcome.kind !== 'failed' || (outcome.dead && this.#settings.deadLetters > 0)) known.done.add(key)
      // While one group can still get it, the error is one that says so.
      if (outcome.kind === 'failed' && (error === undefined || (!error.transient && outcome.error.transient)))
        error = outcome.error
    })
    this.#unfinished.delete(name)
    if (error === undefined) {
      // A queue whose last subscription ended meanwhile has nobody; a topic may have no subscriber.
      const left = channel.kind === 'queue' && outcomes.some(({ kind }) => kind === 'over')
      return left ? stuck(failure(nobody(channel, this.#settings.name))) : ACCEPTED
    }
    const passed = routes.every(({ key }) => known.done.has(key))
    // Sent again although nobody asks for it, it goes to those that refused it, and not to those that have it.
    if (!error.transient)
      outcomes.forEach(({ kind }, at) => {
        if (kind === 'failed') known.done.delete((left[at] as Route).key)
      })
    if (error.transient || known.done.size > 0) this.#remember(name, known)
    return { result: failure(error), passed }
  }

  async #deliver(
    route: Route,
    envelope: Envelope,
    parcel: () => HttpMessage,
    tally: Tally,
    scope: Scope,
    context: CallContext,
  ): Promise<Outcome> {
    const { kind, name } = route.place
    const outcome = await deliver(
      route,
      scope,
      this.#settings,
      tally,
      (target, attempt, handedOut) => this.#try(route, target, envelope, parcel, scope, context, attempt, handedOut),
      // What it finds goes into the route itself; what fails leaves it as it is.
      () => this.#look({ kind, name }, scope).then(nothing, nothing),
    )
    if (outcome.kind === 'failed' && outcome.dead) this.#refuse(route, envelope, wordsOf(outcome.error))
    return outcome
  }

  #refuse(route: Route, envelope: Envelope, reason: string): void {
    const { clock, tell } = this.#settings
    const kept = this.#refused.add({ route, envelope, reason, at: clock.wallNow() })
    tell({ type: 'dead-letter', place: route.place, id: envelope.id, reason, kept })
  }

  #try(
    route: Route,
    target: Target,
    envelope: Envelope,
    parcel: () => HttpMessage,
    scope: Scope,
    context: CallContext,
    attempt: number,
    handedOut: number,
  ): Promise<Answer> {
    const { clock, attemptTimeoutMs, signing } = this.#settings
    const facts = { ...this.#facts(route.place, context), endpoint: target.origin, attempt }
    const timeoutMs = Math.max(1, Math.min(attemptTimeoutMs, scope.remainingMs()))
    let headers: string[]
    let body: Uint8Array
    try {
      const message = parcel()
      body = message.body
      headers = Object.entries({
        ...this.#settings.headers(),
        ...message.headers,
        ...signing?.sign(envelope.id, body, clock.wallNow()),
        [CHANNEL_HEADER]: writeChannel(route.place),
        ...(route.group === undefined ? {} : { [GROUP_HEADER]: encodeGroup(route.group) }),
        [REDELIVERIES_HEADER]: String(handedOut),
        [DEADLINE_HEADER]: writeDeadline(timeoutMs) as string,
        accept: 'application/problem+json',
      }).flat()
    } catch (cause) {
      // Out of the user's headers, or of an envelope that HTTP cannot carry.
      const error = classify(cause, { ...facts, effect: 'none' })
      return Promise.resolve({ status: 0, error, givenBack: false })
    }
    return exchange(
      { target, headers, body },
      // The deadline is the scope's; this bound also holds for what is left of an answer when the send is over.
      { dispatcher: this.#dispatcher(), clock, scope, timeoutMs: attemptTimeoutMs, facts },
    )
  }

  // Made when the first try is, and once.
  #parcel(envelope: Envelope): () => HttpMessage {
    let message: HttpMessage | undefined
    return () => {
      if (message !== undefined) return message
      const inBody =
        this.#settings.signing !== undefined ||
        bytesAbove(MOST_HEADER_BYTES + envelope.body.byteLength, envelope) !== undefined
      message = toHttp(envelope, inBody ? 'structured' : 'binary')
      return message
    }
  }

  // What cannot be sent at all.
  #fault(channel: ChannelAddress, envelope: Envelope, context: CallContext): Error | undefined {
    const { maxPayloadBytes, clock } = this.#settings
    const bytes = bytesAbove(maxPayloadBytes, envelope)
    if (bytes !== undefined)
      return createError({
        ...this.#facts(channel, context),
        code: 'PAYLOAD_TOO_LARGE',
        message: `message ${envelope.id} has ${bytes} bytes, the limit is ${maxPayloadBytes}`,
        stack: false,
      })
    if (envelope.notBefore !== undefined && envelope.notBefore > clock.wallNow())
      return createError({
        ...this.#facts(channel, context),
        code: 'CAPABILITY_MISSING',
        message: 'HTTP push has no place to hold a message until its notBefore: an outbox has',
        stack: false,
      })
    return undefined
  }

  #behind(channel: ChannelAddress, key: string, ahead: string, before: unknown, context: CallContext): Error {
    return createError({
      ...this.#facts(channel, context),
      code: 'TOO_EARLY',
      message: `a message before it of key ${JSON.stringify(key)} was not handled`,
      cause: before,
      details: { ahead },
      stack: false,
    })
  }

  async #redrive({ route, envelope, reason }: Refused): Promise<void> {
    const { clock, redriveMs } = this.#settings
    const { context } = createContext({
      service: route.place.name,
      operation: 'redrive',
      deadline: deadlineIn(redriveMs, clock),
      idempotent: true,
    })
    await this.#within(context, async (scope) => {
      const work = async (): Promise<void> => {
        const outcome = await this.#deliver(route, envelope, this.#parcel(envelope), { handedOut: 0 }, scope, context)
        // In vain: it is not lost. Where it was refused again it is in the list already.
        if (outcome.kind === 'over') this.#refuse(route, envelope, reason)
        else if (outcome.kind === 'failed' && !outcome.dead) this.#refuse(route, envelope, wordsOf(outcome.error))
      }
      if (envelope.key === undefined) await work()
      else await this.#lanes.run(`${placeKey({ ...route.place, group: undefined })} ${envelope.key}`, scope, work)
    })
  }

  #remember(name: string, known: Unfinished): void {
    this.#unfinished.set(name, known)
    if (this.#unfinished.size <= MOST_UNFINISHED) return
    const [oldest] = this.#unfinished.keys()
    this.#unfinished.delete(oldest as string)
  }

  #facts(channel: ChannelAddress, context: CallContext | undefined): Stamp {
    return {
      channel: channel.name,
      transport: this.#settings.name,
      service: context?.service,
      operation: context?.operation,
      idempotent: context?.idempotent,
    }
  }

  #stamped(channel: ChannelAddress, context: CallContext | undefined, error: FairleadError): Error {
    return classify(error, this.#facts(channel, context))
  }
}

function stuck(result: SendResult): Verdict {
  return { result, passed: false }
}

function failure(error: Error): SendResult {
  return { status: 'failed', error }
}

function nothing(): void {}

function encodeGroup(group: string): string {
  return group === '*' ? group : encodeURIComponent(group)
}

// In the order of their first message; those without a key are on their own.
function byKey(envelopes: readonly Envelope[]): Map<string | undefined, number[]> {
  const keys = new Map<string | undefined, number[]>()
  envelopes.forEach(({ key }, at) => {
    const indices = keys.get(key)
    if (indices === undefined) keys.set(key, [at])
    else indices.push(at)
  })
  return keys
}
