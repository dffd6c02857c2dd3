// What cases demand, with words that say what was wrong.
import { AssertionError } from 'node:assert'
import type { SendResult } from '../../core/contracts/transport.ts'
import { type Code, type FairleadError, isFairleadError } from '../../errors/index.ts'
import { demand, same } from '../assert.ts'
import { type Handed, short } from './collector.ts'
import { explain } from './workbench.ts'

export { demand, same }

/** Each text once, and no other, in whatever order. */
export function eachOnce(handed: readonly Handed[], expected: readonly string[]): void {
  const times = new Map<string, number>()
  for (const { text } of handed) times.set(text, (times.get(text) ?? 0) + 1)
  const missing = expected.filter((text) => !times.has(text))
  demand(missing.length === 0, `${missing.length} of ${expected.length} were lost: ${some(missing)}`)
  const twice = [...times].filter(([, count]) => count > 1).map(([text]) => text)
  demand(twice.length === 0, `${twice.length} were handed out more than once: ${some(twice)}`)
  const known = new Set(expected)
  const strange = [...times.keys()].filter((text) => !known.has(text))
  demand(strange.length === 0, `${strange.length} do not belong here: ${some(strange)}`)
}

/** Each text at least once. */
export function noneLost(handed: readonly Handed[], expected: readonly string[]): void {
  const seen = new Set(handed.map(({ text }) => text))
  const missing = expected.filter((text) => !seen.has(text))
  demand(missing.length === 0, `${missing.length} of ${expected.length} were lost: ${some(missing)}`)
}

/**
 * Texts of what was acknowledged: the broker has confirmed it, or may have taken it although its answer was lost. What is still being settled,
 * and what was refused, is not.
 */
export function acknowledged(handed: readonly Handed[]): ReadonlySet<string> {
  return new Set(
    handed
      .filter(({ settled, confirmed, error }) => {
        if (settled?.verdict !== 'ack') return false
        return confirmed || (isFairleadError(error) && error.effect !== 'none')
      })
      .map(({ text }) => text),
  )
}

/** The error of a verdict that has to be a failure with a code, and with this effect where one is given. */
export function failure(verdict: SendResult | undefined, what: string, effect?: 'none' | undefined): FairleadError {
  demand(verdict?.status === 'failed', `${what}: it should have failed, and was ${explain(verdict)}`)
  const { error } = verdict
  classified(error, what)
  demand(
    effect === undefined || error.effect === effect,
    `${what}: the effect should be ${effect}: ${explain(verdict)}`,
  )
  return error
}

// Codes that stand for "thrown by something unknown".
const UNCLASSIFIED: ReadonlySet<Code> = new Set<Code>(['CALL_FAILED', 'PROGRAMMING_ERROR'])

/** @throws AssertionError unless it is a FairleadError that says what happened. */
export function classified(error: unknown, what: string): asserts error is FairleadError {
  demand(isFairleadError(error), `${what}: an error without a code: ${String(error)}`)
  demand(!UNCLASSIFIED.has(error.code), `${what}: an error that nobody classified: ${error.message}`)
}

/** What the work rejects with; it has to reject, and with a code. */
export async function rejection(work: Promise<unknown>, what: string): Promise<FairleadError> {
  try {
    await work
  } catch (error) {
    classified(error, what)
    return error
  }
  throw new AssertionError({ message: `${what}: it should have been refused` })
}

/** @throws AssertionError unless the work is refused with that code. */
export async function refused(work: Promise<unknown>, code: Code, what: string): Promise<void> {
  const { code: found } = await rejection(work, what)
  demand(found === code, `${what}: refused with ${found} instead of ${code}`)
}

/**
 * First deliveries of each key came in the order of sending; `expected` are the messages in that order.
 * Later deliveries of the same message do not count.
 */
export function inOrderPerKey(handed: readonly Handed[], keyOf: (each: Handed) => string | undefined): void {
  const last = new Map<string, number>()
  const seen = new Set<string>()
  for (const each of handed) {
    const key = keyOf(each)
    if (key === undefined || seen.has(each.text)) continue
    seen.add(each.text)
    const number = Number(each.text.slice(each.text.lastIndexOf('#') + 1))
    const before = last.get(key) ?? -1
    demand(number > before, `order of ${key} broken: ${number} was handed out after ${before}`)
    last.set(key, number)
  }
}

/** No two receivers held messages of one key and priority at the same time; `keyOf` says otherwise what belongs together. */
export function oneHolderPerKey(
  handed: readonly Handed[],
  keyOf: (each: Handed) => string | undefined = ({ envelope: { key, priority = 0 } }) =>
    key === undefined ? undefined : `${key} of priority ${priority}`,
): void {
  const byKey = new Map<string, Handed[]>()
  for (const each of handed) {
    const key = keyOf(each)
    if (key === undefined) continue
    const others = byKey.get(key) ?? []
    byKey.set(key, others)
    const still = others.find((other) => other.by !== each.by && endOf(other) > each.order)
    demand(
      still === undefined,
      `${short(each.text)} went to one receiver while another held ${short(still?.text ?? '')}, and both are of ${key}`,
    )
    others.push(each)
  }
}

const endOf = ({ settled, lostOrder }: Handed): number => Math.min(settled?.order ?? Infinity, lostOrder ?? Infinity)

function some(list: readonly string[]): string {
  const shown = list.slice(0, 8).map((text) => short(text) || '(empty)')
  return `${shown.join(', ')}${list.length > 8 ? ', ...' : ''}`
}
