// Carries out what was decided of a message: tells the broker, or lets it wait here for its time. It also judges what needs no handler:
// messages that come too early, too late, too often, or that nobody can read.
import type { SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { MessageOutcome } from '../../core/message-events.ts'
import { endsWithin } from '../../core/patience.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import { giveUp } from './dead-letters.ts'
import type { Hand } from './hand.ts'
import type { Held } from './held.ts'
import { keepsOrder, placeOf } from './places.ts'
import { reasonOf, type Verdict } from './verdicts.ts'

/** The part of a desk that speaks to the broker. */
export interface Settler {
  readonly canGiveBack: boolean
  /** What is clear before its handler is called; undefined: call it. */
  beforehand(held: Held): Verdict | undefined
  /** What becomes of one that cannot be decoded, or that nobody handles. */
  unreadable(error: unknown): Verdict
  /** How many of the delayed retries are used up. */
  stageOf(held: Held): number
  carryOut(held: Held, verdict: Verdict): void
  /** Those of its key that came after it and have not begun. */
  behind(held: Held): readonly Held[]
  /** Unhandled: it is not held against the message, as far as we remember. `after`: the broker is told only then. */
  giveBack(held: Held, after?: Promise<unknown> | undefined): void
  /** Tells the broker that it is not ours any more. Resolves once it knows, or after a while. */
  letGo(held: Held): Promise<unknown> | undefined
  giveAllBack(): void
  /** All that is in hand waits for one that is held back: gives the longest such lane back, where the broker keeps its order. */
  relieve(): void
}

/** Further tries to tell the broker, and how long before each. */
const TELL_AGAIN_MS: readonly number[] = [200, 1_000, 5_000]
const GIVE_UP_AGAIN_MS = 5_000
const LET_GO_WITHIN_MS = 5_000

export function settlerOf(desk: Hand): Settler {
  const { settings, teller, notes } = desk
  const { capabilities } = settings.transport
  const { clock } = settings.world
  const canGiveBack = capabilities.nack !== 'none'

  const stageOf = (held: Held): number => {
    const { redeliveries } = held.delivery
    const note = notes.get(held.id)
    const before =
      redeliveries === undefined
        ? (note?.failed ?? 0)
        : Math.max(0, redeliveries - (note === undefined ? 0 : note.innocent + note.asked))
    return before + held.failedHere
  }

  const deliveriesOf = (held: Held): number => {
    const { redeliveries } = held.delivery
    const note = notes.get(held.id)
    const before =
      redeliveries === undefined
        ? (note?.failed ?? 0) + (note?.asked ?? 0)
        : Math.max(0, redeliveries - (note?.innocent ?? 0))
    return before + held.failedHere + held.askedHere
  }

  const beforehand = (held: Held): Verdict | undefined => {
    const deliveries = deliveriesOf(held)
    if (deliveries >= settings.maxDeliveries)
      return { what: 'dead', reason: `POISON: handed out ${deliveries} times before, and never finished` }
    const { expiresAt, notBefore } = held.delivery.envelope
    if (expiresAt === undefined && notBefore === undefined) return undefined
    const now = clock.wallNow()
    if (expiresAt !== undefined && expiresAt <= now)
      return settings.expired === 'drop'
        ? { what: 'ack', outcome: 'expired' }
        : { what: 'dead', reason: `TOO_LATE: expired ${Math.round(now - expiresAt)} ms ago` }
    if (notBefore !== undefined && notBefore > now)
      return {
        what: 'later',
        delayMs: notBefore - now,
        counted: 'innocent',
        reason: `TOO_EARLY: ${Math.round(notBefore - now)} ms before its time`,
        passes: true,
      }
    return undefined
  }

  const unreadable = (thrown: unknown): Verdict => {
    const error: FairleadError = isFairleadError(thrown)
      ? thrown
      : classify(thrown, { channel: settings.channel.name, transport: settings.transport.name })
    if (error.code === 'MESSAGE_UNHANDLED') {
      const { type } = (error.details ?? {}) as { readonly type?: string }
      const known = type !== undefined && Object.hasOwn(settings.channel.types, type)
      if ((known ? settings.unhandledType : settings.unknownType) === 'ignore')
        return { what: 'ack', outcome: 'ignored' }
    }
    return { what: 'dead', reason: reasonOf(error), error }
  }

  const begin = (held: Held): void => {
    held.state = 'settling'
    desk.settling++
  }

  const settled = (held: Held, outcome: MessageOutcome): void => {
    if (outcome !== 'later') {
      notes.forget(held.id)
      desk.lanes.done(held)
    }
    if (teller.heard) teller.handled(held, outcome)
    desk.putAway(held)
  }

  const unsettled = (held: Held, outcome: MessageOutcome, thrown: unknown): void => {
    const error = classify(thrown, { channel: settings.channel.name, transport: settings.transport.name })
    if (teller.heard) teller.lost(held, 'settling', error)
    if (error.code !== 'LEASE_LOST') desk.lastError = error
    // It comes again, and they would have been handled before it.
    const inOrder = keepsOrder(capabilities)
    const behind = inOrder ? behindOf(held) : []
    desk.putAway(held)
    if (inOrder && outcome !== 'later') desk.lanes.goesBack(held)
    for (const each of behind) giveBack(each)
  }

  // The common path: one promise more than the broker's own.
  const tell = (
    held: Held,
    verdict: SettleVerdict,
    options: SettleOptions | undefined,
    outcome: MessageOutcome,
    after?: Promise<unknown> | undefined,
  ): void => {
    begin(held)
    const tellIt = (): Promise<void> => held.delivery.settle(verdict, options)
    const telling = after === undefined ? tellIt() : after.then(tellIt)
    telling.then(
      () => settled(held, outcome),
      (error) => tellAgain(held, tellIt, outcome, error, 0),
    )
  }

  // What came behind it while it could not be told would have its turn before it.
  const settledLate = (held: Held, outcome: MessageOutcome): void => {
    const behind = outcome === 'later' && keepsOrder(capabilities) ? behindOf(held) : []
    settled(held, outcome)
    if (behind.length === 0) return
    desk.lanes.goesBack(held)
    for (const each of behind) giveBack(each)
  }

  // Told twice is told once. A broker that cannot be reached just now may be in a moment, and the right is still ours.
  const tellAgain = (
    held: Held,
    tellIt: () => Promise<void>,
    outcome: MessageOutcome,
    error: unknown,
    tries: number,
  ): void => {
    const waitMs = TELL_AGAIN_MS[tries]
    if (
      waitMs === undefined ||
      held.lost !== undefined ||
      desk.mode === 'end' ||
      isFairleadError(error, 'LEASE_LOST')
    ) {
      unsettled(held, outcome, error)
      return
    }
    held.timer = clock.setTimer(
      () => {
        held.timer = undefined
        tellIt().then(
          () => settledLate(held, outcome),
          (next) => tellAgain(held, tellIt, outcome, next, tries + 1),
        )
      },
      waitMs,
      undefined,
    )
  }

  const bury = (held: Held, reason: string, error: FairleadError | undefined): void => {
    begin(held)
    giveUp(held, reason, settings).then(
      () => {
        if (teller.heard) teller.dead(held, reason, error)
        settled(held, 'dead')
      },
      (failure) => {
        if (held.lost !== undefined || settings.deadLetter === 'transport' || isFairleadError(failure, 'LEASE_LOST')) {
          tellAgain(held, () => giveUp(held, reason, settings), 'dead', failure, 0)
          return
        }
        // The other place cannot be reached: no message is given up without having got there.
        desk.lastError = classify(failure, { channel: settings.channel.name })
        held.state = 'running'
        desk.settling--
        later(held, { what: 'later', delayMs: GIVE_UP_AGAIN_MS, counted: 'innocent', reason: reasonOf(desk.lastError) })
      },
    )
  }

  const count = (held: Held, counted: 'failed' | 'asked' | 'innocent', here: boolean): void => {
    if (!here) {
      // What the broker counts by itself needs no note.
      if (counted !== 'failed' || held.delivery.redeliveries === undefined) notes.add(held.id, counted)
    } else if (counted === 'failed') held.failedHere++
    else if (counted === 'asked') held.askedHere++
  }

  const later = (held: Held, verdict: Extract<Verdict, { readonly what: 'later' }>): void => {
    const { delayMs, counted, reason, error, passes = false, stays = false } = verdict
    const { leaseMs, extend } = held.delivery
    const wait = {
      keyed: held.delivery.envelope.key !== undefined,
      delayMs,
      passes,
      tooLongForLease: leaseMs !== undefined && extend === undefined && delayMs > leaseMs / 2,
    }
    let place = placeOf(capabilities, settings.onFailure, wait)
    if (stays && !wait.tooLongForLease) place = wait.keyed && settings.onFailure !== 'overtake' ? 'lane' : 'beside'
    if (desk.mode !== 'go' && canGiveBack && place !== 'passed') place = 'broker'
    const here = place === 'lane' || place === 'beside'
    count(held, counted, here)
    if (teller.heard) teller.retried(held, here ? 'here' : 'broker', delayMs, reason, error)
    if (here) {
      if (desk.mode === 'end') desk.putAway(held)
      else rest(held, delayMs, place === 'beside')
      return
    }
    const behind = place === 'chain' ? behindOf(held) : []
    returnIt(held, delayMs, reason, place === 'passed')
    for (const each of behind) giveBack(each)
  }

  const returnIt = (
    held: Held,
    delayMs: number,
    reason: string,
    passes: boolean,
    after?: Promise<unknown> | undefined,
  ): void => {
    if (held.timer !== undefined) clock.clearTimer(held.timer)
    held.timer = undefined
    if (!passes && keepsOrder(capabilities)) desk.lanes.goesBack(held)
    const { delay, maxDelayMs, nack } = capabilities
    const canDelay = delay !== 'none' && delayMs > 0
    tell(
      held,
      'retry',
      {
        reason,
        ...(canDelay ? { delayMs: Math.min(delayMs, maxDelayMs) } : {}),
        ...(passes && nack === 'either' ? { overtake: true } : {}),
      },
      'later',
      after,
    )
  }

  const rest = (held: Held, delayMs: number, beside: boolean): void => {
    held.state = 'resting'
    held.restsUntil = clock.now() + delayMs
    if (beside && held.lane !== undefined) {
      const next = desk.lanes.leave(held)
      if (next !== undefined) desk.ready(next)
    }
    held.timer = clock.setTimer(wake, delayMs, held)
    desk.soon()
  }

  const wake = (held: Held): void => {
    held.timer = undefined
    const restMs = held.restsUntil - clock.now()
    // No timer is longer than 24.8 days.
    if (restMs > 1) {
      held.timer = clock.setTimer(wake, restMs, held)
      return
    }
    if (held.lane === undefined) desk.enter(held)
    else {
      held.state = 'queued'
      if (held.ahead === undefined) desk.ready(held)
    }
    desk.soon()
  }

  const behindOf = (held: Held): readonly Held[] => {
    const found: Held[] = []
    for (let each = held.behind; each !== undefined; each = each.behind)
      if (each.state === 'queued' || each.state === 'resting') found.push(each)
    return found
  }

  const giveBack = (held: Held, after?: Promise<unknown> | undefined): void => {
    if (held.state !== 'queued' && held.state !== 'resting') return
    if (!canGiveBack) {
      desk.putAway(held)
      return
    }
    const restMs = held.state === 'resting' ? Math.max(0, held.restsUntil - clock.now()) : 0
    const beside = held.state === 'resting' && held.lane === undefined
    notes.add(held.id, 'innocent')
    returnIt(held, restMs, 'given back unhandled', beside, after)
  }

  const letGo = (held: Held): Promise<unknown> | undefined => {
    if (!canGiveBack) return undefined
    const telling = held.delivery.settle('retry', { reason: 'its lease could not be renewed' })
    return endsWithin(telling, held.delivery.leaseMs ?? LET_GO_WITHIN_MS, clock).catch(() => undefined)
  }

  const giveAllBack = (): void => {
    // Where nothing can be given back, what waits is kept while it is only a pause.
    if (!canGiveBack && desk.mode !== 'end') return
    for (const held of [...desk.all]) giveBack(held)
  }

  const relieve = (): void => {
    if (!keepsOrder(capabilities) || capabilities.delay === 'none' || settings.onFailure === 'overtake') return
    let longest: Held | undefined
    let most = 1
    for (const held of desk.all) {
      if (held.state !== 'resting' || held.lane === undefined || held.ahead !== undefined) continue
      if (held.restsUntil - clock.now() > capabilities.maxDelayMs) continue
      const length = behindOf(held).length
      if (length >= most) {
        longest = held
        most = length
      }
    }
    if (longest === undefined) return
    const behind = behindOf(longest)
    giveBack(longest)
    for (const each of behind) giveBack(each)
  }

  return {
    canGiveBack,
    beforehand,
    unreadable,
    stageOf,
    behind: behindOf,
    giveBack,
    letGo,
    giveAllBack,
    relieve,
    carryOut(held, verdict) {
      if (held.lost !== undefined) desk.putAway(held)
      else if (verdict.what === 'ack') tell(held, 'ack', undefined, verdict.outcome)
      else if (verdict.what === 'dead') bury(held, verdict.reason, verdict.error)
      else if (verdict.what === 'later') later(held, verdict)
    },
  }
}
