// The inbox around handlers: one transaction holds the claim of a message, its effects and what is published; the broker hears of it after the commit.

import { againOnConflict } from '../../core/conflicts.ts'
import type { MessageIdentity } from '../../core/contracts/store.ts'
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import type { Message } from '../../core/message.ts'
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { World } from '../../policies/seams.ts'
import { dead, isOutcome, outcomesOf } from '../consumer/outcomes.ts'
import type { AroundHandler } from '../consumer/pipeline.ts'
import type { Run } from '../consumer/run.ts'
import type { Teller } from '../consumer/telling.ts'
import { reasonOf } from '../consumer/verdicts.ts'
import { Begun } from './begun.ts'
import { BUSY, DUPLICATE, Judged, Unasked } from './judged.ts'
import type { InboxPlace } from './types.ts'

/** What the inbox of a consumer goes by. */
export interface InboxParts {
  readonly place: InboxPlace<unknown>
  /** Who it is in the inbox. */
  readonly name: string
  readonly maxDeliveries: number
  readonly redeliveryCount: TransportCapabilities['redeliveryCount']
  readonly world: World
  readonly teller: Teller
  /** Told of what went wrong beside the message. */
  readonly failed: (error: unknown) => void
}

/** Thrown inside a transaction to undo it, with what was answered for each message that had been given to the handler. */
class Undone {
  readonly given: readonly number[]
  readonly outcomes: readonly unknown[]

  constructor(given: readonly number[], outcomes: readonly unknown[]) {
    this.given = given
    this.outcomes = outcomes
  }
}

/**
 * Around layers and handler, inside decoding and settling. What was aborted (its time was up, the right to settle was lost, the consumer closed) is never
 * committed: the handler may have stopped half way. Of a batch that holds only while the right to every message of it is lost; a message of
 * it that was lost alone is a duplicate when it is handed out again.
 *
 * A handler that does not heed its end, and is left alone, finds its transaction over where handles can say so (`handlesEnd`). Elsewhere it keeps it until it ends after all, and it is
 * undone then: most drivers hand out the connection itself, and what is done with one that was given back would be part of somebody else's transaction.
 */
export function aroundWithInbox(parts: InboxParts): AroundHandler {
  const { place, name, world, teller } = parts
  const begun = parts.redeliveryCount === 'none' ? new Begun(place.inbox, name, parts.failed) : undefined

  // One transaction over the messages at these indexes. Fills in the answers of those that are not for the handler.
  const once = (run: Run, among: readonly number[], next: Next, answers: unknown[], left: Left): Promise<void> => {
    left.called = false
    const messages = messagesOf(run)
    const identities = among.map((at) => ({ ...identityOf(messages[at] as Message), delivery: run.held[at]?.delivery }))
    const only = among.length === 1 ? place.opening?.(name, messages[among[0] as number] as Message) : undefined
    const opening = only ?? place.inbox.claiming?.(name, identities)
    return place.transaction(
      async (tx, opened) => {
        const claims =
          opening === undefined || opened === undefined
            ? await place.inbox.claim(tx, name, identities)
            : opening.answers(opened)
        const given: number[] = []
        for (let each = 0; each < among.length; each++) {
          const at = among[each] as number
          if (claims[each] === 'first') given.push(at)
          answers[at] = claims[each] === 'duplicate' ? DUPLICATE : claims[each] === 'busy' ? BUSY : undefined
        }
        if (given.length === 0) return
        mayGoOn(run)
        const entry = run.enter(
          tx,
          given.length === run.held.length ? undefined : given.map((at) => (messages[at] as Message).id),
        )
        const batch = Array.isArray(run.request)
        const part = batch && given.length < run.held.length ? given.map((at) => messages[at]) : run.request
        left.called = true
        const releases = place.handlesEnd === true
        let answer: unknown
        try {
          const whole = entry.whole(next(part), releases)
          answer = await (releases ? left.orLeft(run, whole) : whole)
        } finally {
          entry.close()
        }
        if (entry.refused !== undefined) throw entry.refused
        const outcomes = outcomesOf(answer, given.length, batch)
        if (outcomes !== undefined) throw new Undone(given, outcomes)
        // Whatever a layer made of it: what a handler left half done is not committed.
        if (entry.thrown !== undefined) throw entry.thrown.error
        // The last word before the commit, after whatever else is done there.
        place.beforeCommit(tx, async () => mayGoOn(run), 'last')
      },
      opening === undefined ? undefined : { opening: opening.statement },
    )
  }

  const handle = async (run: Run, next: Next, answers: unknown[], among: readonly number[]): Promise<void> => {
    const alone = new Left()
    let left = among
    // Messages that are not done leave the transaction, with whatever was written for them, and the others are handled again without them.
    while (left.length > 0) {
      const now = left
      try {
        await againOnConflict(() => once(run, now, next, answers, alone), {
          clock: world.clock,
          random: world.random,
          own: run,
          endsAt: run.deadlineAt,
          stopped: () => run.over || run.aborted !== undefined,
          again: (error, waitMs) => {
            if (!teller.heard) return
            const known = asConflict(error)
            for (const at of now)
              teller.retried(run.held[at] as Run['held'][number], 'now', waitMs, reasonOf(known), known)
          },
        })
        return
      } catch (thrown) {
        // Its transaction is over, and it does run: whoever counts those is told when it ends.
        if (run.over) await alone.ended
        if (!(thrown instanceof Undone)) {
          if (alone.called) throw thrown
          for (const at of now) answers[at] = unasked(thrown)
          return
        }
        left = now.filter((at) => {
          const given = thrown.given.indexOf(at)
          return given < 0 ? false : !isOutcome(thrown.outcomes[given])
        })
        // The others are not done yet: they have no answer until they are handled without these.
        for (let each = 0; each < thrown.given.length; each++) {
          const outcome = thrown.outcomes[each]
          answers[thrown.given[each] as number] = isOutcome(outcome) ? outcome : undefined
        }
      }
    }
  }

  // Where no broker counts deliveries: those that were begun and never ended, whatever ended the process.
  const counted = async (
    begun: Begun,
    run: Run,
    next: Next,
    answers: unknown[],
    all: readonly number[],
  ): Promise<void> => {
    const messages = messagesOf(run).map(identityOf)
    let before: readonly number[]
    try {
      before = await begun.begin(messages)
    } catch (error) {
      answers.fill(unasked(error))
      return
    }
    // A dead letter begins anew, if it is redriven.
    const ends = new Array<number>(messages.length).fill(1)
    const fit = all.filter((at) => {
      const times = before[at] as number
      if (times < parts.maxDeliveries) return true
      answers[at] = dead(`POISON: begun ${times} times before, and never ended`)
      ends[at] = times + 1
      return false
    })
    try {
      await handle(run, next, answers, fit)
    } finally {
      await begun.end(messages, ends)
    }
  }

  return async (run, next) => {
    const answers = new Array<unknown>(run.held.length).fill(undefined)
    const all = answers.map((_, at) => at)
    run.known = answers
    await (begun === undefined ? handle(run, next, answers, all) : counted(begun, run, next, answers, all))
    return new Judged(answers)
  }
}

type Next = (request: unknown) => unknown

/** A handler that may be left alone in the middle of its transaction. */
class Left {
  /** In this transaction: what fails before says nothing of the message. */
  called = false
  /** When it has ended after all. */
  ended: Promise<unknown> = Promise.resolve()

  orLeft(run: Run, answer: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ended = Promise.resolve(answer)
      this.ended = ended.then(nothing, nothing)
      run.onLeft = () => reject(run.aborted?.reason ?? alone())
      ended.then(resolve, reject)
    })
  }
}

function unasked(error: unknown): Unasked {
  return new Unasked(classify(error, { idempotent: true }))
}

function alone(): FairleadError {
  return createError({ code: 'DEADLINE_EXCEEDED', message: 'the handler was left alone' })
}

function mayGoOn(run: Run): void {
  if (run.aborted !== undefined) throw run.aborted.reason
  if (run.over) throw alone()
}

function messagesOf(run: Run): readonly Message[] {
  return (Array.isArray(run.request) ? run.request : [run.request]) as readonly Message[]
}

function identityOf({ source, id }: Message): MessageIdentity {
  return { source, id }
}

// Drivers that hand out raw handles let the handler throw what the database said as it was.
function asConflict(error: unknown): FairleadError {
  return isFairleadError(error) ? error : createError({ code: 'TRANSACTION_CONFLICT', cause: error, idempotent: true })
}

function nothing(): void {}
