// Calls handlers: one message or one batch at a time from a turn to an answer, over immediate attempts, deadlines, and handlers that do not end.
import { detached } from '../../core/async-context.ts'
import type { Message } from '../../core/message.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { DUPLICATE, Judged, Unasked } from '../inbox/judged.ts'
import { Deadlines } from './deadlines.ts'
import type { Hand } from './hand.ts'
import type { HandlerCall, Held } from './held.ts'
import type { Settings } from './options.ts'
import { outcomesOf } from './outcomes.ts'
import type { Pipeline } from './pipeline.ts'
import { keepsOrder } from './places.ts'
import { Run, type RunHost } from './run.ts'
import type { Settler } from './settling.ts'
import type { Teller } from './telling.ts'
import type { Throttle } from './throttle.ts'
import { answered, failed, reasonOf, type Verdict } from './verdicts.ts'

/** The part of a desk that speaks to handlers. */
export class Calls {
  /** Calls whose handler was left alone and is still running. */
  abandoned: number
  readonly #desk: Hand
  readonly #settings: Settings
  readonly #pipeline: Pipeline
  readonly #settler: Settler
  readonly #teller: Teller
  readonly #throttle: Throttle | undefined
  readonly #deadlines: Deadlines
  readonly #runs: Set<Run>
  readonly #host: RunHost

  constructor(desk: Hand, pipeline: Pipeline, settler: Settler, throttle: Throttle | undefined) {
    this.abandoned = 0
    this.#desk = desk
    this.#settings = desk.settings
    this.#pipeline = pipeline
    this.#settler = settler
    this.#teller = desk.teller
    this.#throttle = throttle
    this.#deadlines = new Deadlines(desk.settings.world.clock)
    this.#runs = new Set()
    const { channel, group, world } = desk.settings
    this.#host = {
      channel: { kind: channel.kind, name: channel.name },
      group,
      clock: world.clock,
      timeUp: (run) => this.#ended(run),
    }
  }

  begin(held: Held): void {
    const verdict = this.#settler.beforehand(held)
    if (verdict !== undefined) {
      this.#settler.carryOut(held, verdict)
      return
    }
    held.state = 'running'
    this.#desk.running++
    this.#throttle?.begun()
    let message: Message | Promise<Message>
    try {
      message = this.#pipeline.decode(held)
    } catch (error) {
      this.#unreadable(held, error)
      return
    }
    if (message instanceof Promise)
      message.then(
        (decoded) => this.#handle([held], decoded, decoded.type, 1),
        (error) => this.#unreadable(held, error),
      )
    else this.#handle([held], message, message.type, 1)
  }

  beginBatch(released: readonly Held[]): void {
    const fit: Held[] = []
    for (const held of released) {
      const verdict = this.#settler.beforehand(held)
      if (verdict === undefined) {
        held.state = 'running'
        fit.push(held)
      } else this.#settler.carryOut(held, verdict)
    }
    if (fit.length === 0) return
    this.#desk.running++
    this.#throttle?.begun()
    void this.#decodeAll(fit)
  }

  async #decodeAll(released: readonly Held[]): Promise<void> {
    const decoded = await Promise.all(
      released.map(async (held) => {
        try {
          return await this.#pipeline.decode(held)
        } catch (error) {
          this.#settler.carryOut(held, this.#settler.unreadable(error))
          return undefined
        }
      }),
    )
    const held: Held[] = []
    const messages: Message[] = []
    for (let at = 0; at < released.length; at++) {
      const each = released[at] as Held
      const message = decoded[at]
      if (message === undefined || each.state !== 'running') continue
      // Decoding may have taken a while.
      if (each.lost !== undefined) this.#desk.bury(each)
      else {
        held.push(each)
        messages.push(message)
      }
    }
    if (held.length === 0) this.#freeAgain()
    else this.#handle(held, messages, 'batch', 1)
  }

  #unreadable(held: Held, error: unknown): void {
    this.#throttle?.neutral()
    this.#free()
    if (held.lost !== undefined) this.#desk.bury(held)
    else this.#settler.carryOut(held, this.#settler.unreadable(error))
  }

  // ---- handlers ----

  #handle(held: readonly Held[], request: unknown, operation: string, attempt: number): void {
    const [first] = held
    const { handlerTimeoutMs, world } = this.#settings
    if (held.length === 1 && first?.lost !== undefined) {
      this.#freeAgain()
      this.#desk.bury(first)
      return
    }
    const { clock } = world
    let endsAt = clock.now() + handlerTimeoutMs
    let redeliveries = 0
    for (const each of held) {
      const { expiresAt } = each.delivery.envelope
      if (expiresAt !== undefined) endsAt = Math.min(endsAt, clock.now() + Math.max(0, expiresAt - clock.wallNow()))
      const count = (each.delivery.redeliveries ?? 0) + each.failedHere + each.askedHere
      if (count > redeliveries) redeliveries = count
      each.attempts = attempt
    }
    const run = new Run(this.#host, held, request, operation, attempt, redeliveries, endsAt)
    for (const each of held) each.run = run
    this.#runs.add(run)
    this.#deadlines.add(run, endsAt)
    let answer: unknown
    try {
      answer = this.#pipeline.call(run)
    } catch (error) {
      this.#failed(run, error)
      return
    }
    if (isThenable(answer))
      answer.then(
        (value) => this.#answered(run, value),
        (error) => this.#failed(run, error),
      )
    else this.#answered(run, answer)
  }

  #answered(run: Run, answer: unknown): void {
    if (!this.#finish(run)) return
    const { batch } = this.#settings
    let answers: readonly unknown[] | undefined
    try {
      answers = answer instanceof Judged ? answer.answers : outcomesOf(answer, run.held.length, batch !== undefined)
    } catch (error) {
      this.#judge(run, this.#asError(run, error))
      return
    }
    this.#free()
    let done = false
    let unasked: { readonly held: Held; readonly error: FairleadError } | undefined
    for (let at = 0; at < run.held.length; at++) {
      const held = run.held[at] as Held
      const own = answers?.[at]
      const verdict = this.#answer(held, own)
      // No handler was called: that says nothing of whether one would go well.
      if (own instanceof Unasked) unasked ??= { held, error: own.error }
      else if (own !== DUPLICATE) done ||= verdict.what === 'ack'
    }
    if (done) {
      this.#desk.lastError = undefined
      this.#throttle?.succeeded()
    } else if (unasked === undefined) this.#throttle?.neutral()
    else {
      this.#desk.lastError = unasked.error
      this.#throttle?.failed(unasked.held.id)
    }
  }

  #answer(held: Held, own: unknown): Verdict {
    const verdict = answered(own, this.#settings, this.#settler.stageOf(held), this.#settings.world.random)
    if (own === DUPLICATE) held.attempts = 0
    this.#conclude(held, verdict)
    return verdict
  }

  // Those that the handler has to answer for; of the others it is known what becomes of them.
  #answerable({ held, known }: Run): readonly Held[] {
    if (known === undefined) return held
    return held.filter((each, at) => {
      const own = known[at]
      if (own !== undefined) this.#answer(each, own)
      return own === undefined
    })
  }

  #failed(run: Run, thrown: unknown): void {
    if (!this.#finish(run)) return
    const error = this.#asError(run, thrown)
    this.#judge(run, error)
  }

  #judge(run: Run, error: FairleadError): void {
    const { world } = this.#settings
    this.#desk.lastError = error
    const aborted = run.aborted !== undefined
    const ended = this.#desk.mode === 'end' && aborted
    const outage = this.#throttle?.on === true
    const among = this.#answerable(run)
    const verdicts = among.map((held): Verdict => {
      // Ended by us: it says nothing about the message.
      if (ended) return { what: 'later', delayMs: 0, counted: 'innocent', reason: reasonOf(error), error }
      const facts = { attempts: run.attempt, stage: this.#settler.stageOf(held), aborted, outage }
      return failed(error, facts, this.#settings, world.random)
    })
    if (among.length > 0 && verdicts.every(({ what }) => what === 'now') && this.#desk.mode !== 'end') {
      for (const held of among) if (this.#teller.heard) this.#teller.retried(held, 'now', 0, reasonOf(error), error)
      // Not on this stack: a handler that throws at once would pile up.
      queueMicrotask(() => detached(() => this.#again(run, among)))
      return
    }
    this.#free()
    let transient = false
    for (let at = 0; at < among.length; at++) {
      const held = among[at] as Held
      const verdict = verdicts[at] as Verdict
      if (verdict.what !== 'dead' || error.transient) {
        // One call is one failure, however many messages were in it.
        if (held.lost === undefined && !ended && !transient) this.#throttle?.failed(held.id)
        transient = true
      }
      this.#conclude(
        held,
        verdict.what === 'now'
          ? { what: 'later', delayMs: 0, counted: 'innocent', reason: verdict.reason, error }
          : verdict,
      )
    }
    if (!transient || among.every(({ lost }) => lost !== undefined)) this.#throttle?.neutral()
  }

  #again(run: Run, among: readonly Held[]): void {
    const kept: Held[] = []
    for (const held of among)
      if (held.lost !== undefined) this.#desk.bury(held)
      else if (this.#comesAfterLost(held, run)) this.#giveBack(held)
      else kept.push(held)
    if (kept.length === 0) {
      this.#freeAgain()
      return
    }
    const request =
      this.#settings.batch === undefined
        ? run.request
        : (run.request as readonly Message[]).filter((_, at) => kept.includes(run.held[at] as Held))
    this.#handle(kept, request, run.operation, run.attempt + 1)
  }

  #conclude(held: Held, verdict: Verdict): void {
    const { run } = held
    held.run = undefined
    if (held.lost !== undefined) this.#desk.bury(held)
    else if (held.state !== 'running') return
    else if (verdict.what === 'later' && run !== undefined && this.#comesAfterLost(held, run)) this.#giveBack(held)
    else this.#settler.carryOut(held, verdict)
  }

  // One of its key before it in the same batch was lost. That one comes again, and has to be done before it.
  #comesAfterLost(held: Held, { held: all }: HandlerCall): boolean {
    const { key } = held.delivery.envelope
    if (all.length === 1 || key === undefined || !keepsOrder(this.#settings.transport.capabilities)) return false
    for (const each of all) {
      if (each === held) return false
      if (each.lost !== undefined && each.delivery.envelope.key === key) return true
    }
    return false
  }

  #giveBack(held: Held): void {
    held.run = undefined
    held.state = 'queued'
    this.#settler.giveBack(held, this.#desk.lanes.untold(held.delivery.envelope.key as string))
  }

  #finish(run: Run): boolean {
    if (run.over) {
      // It was left alone, and has come back after all.
      if (run.ending) this.abandoned--
      run.ending = false
      return false
    }
    run.over = true
    this.#runs.delete(run)
    this.#deadlines.remove(run)
    return true
  }

  // Its time is up: first it is asked to end; after the same time again it is left alone.
  #ended(run: Run): void {
    const { handlerTimeoutMs, world, channel } = this.#settings
    if (!run.ending) {
      const error = createError({
        code: 'DEADLINE_EXCEEDED',
        message: `the handler took longer than its deadline`,
        service: run.service,
        operation: run.operation,
        channel: channel.name,
        attempt: run.attempt,
        idempotent: true,
      })
      run.abort(error)
      if (!run.over) this.#deadlines.add(run, world.clock.now() + handlerTimeoutMs)
      return
    }
    this.leaveAlone(run)
  }

  leaveAlone(run: Run): void {
    if (run.over) return
    run.over = true
    this.#runs.delete(run)
    this.#deadlines.remove(run)
    this.abandoned++
    this.#teller.abandoned(run.ids, this.abandoned)
    run.onLeft?.()
    this.#judge(run, this.#asError(run, run.aborted?.reason))
  }

  #asError(run: Run, thrown: unknown): FairleadError {
    const { transport, channel } = this.#settings
    const { service, operation } = run
    return classify(thrown, {
      service,
      operation,
      idempotent: true,
      attempt: run.attempt,
      aborted: run.aborted,
      transport: transport.name,
      channel: channel.name,
    })
  }

  // Nothing was tried: a probe that came to nothing must not leave the throttle waiting for its outcome.
  #freeAgain(): void {
    this.#throttle?.neutral()
    this.#free()
  }

  #free(): void {
    this.#desk.running--
    this.#desk.soon()
  }

  /** Ends all that run. */
  abortAll(error: FairleadError): void {
    for (const run of [...this.#runs]) run.abort(error)
  }

  /** Does not wait any longer for those that run. */
  leaveAllAlone(): void {
    for (const run of [...this.#runs]) this.leaveAlone(run)
  }

  stop(): void {
    this.#deadlines.stop()
  }
}

function isThenable(answer: unknown): answer is PromiseLike<unknown> {
  return typeof answer === 'object' && answer !== null && typeof (answer as PromiseLike<unknown>).then === 'function'
}
