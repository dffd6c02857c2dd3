// Where a receiver stands when it begins: the position of its group and the right to read for it, or, for a live subscription, a position alone.
import { type Random, sleep } from '../../core/clock.ts'
import type { ReceiveFrom } from '../../core/contracts/transport.ts'
import { isFairleadError } from '../../errors/base.ts'
import { classify } from '../../errors/classify.ts'
import type { Lane, Tenure } from './lane.ts'
import { freshProgress, type Progress, parseProgress } from './progress.ts'
import type { Recovery } from './recovery.ts'
import type { Source, Start } from './source.ts'

/** A place to read from. */
export interface Footing {
  readonly progress: Progress
  readonly tenure: Tenure | undefined
}

/** What footings are made of. */
export interface FootingParts {
  readonly source: Source
  readonly topic: string
  readonly lane: Lane | undefined
  /** Where it begins if nobody has read for the group before. */
  readonly from: ReceiveFrom['from']
  /** Whether a position that is no longer kept is an end. */
  readonly goesOnWhenExpired: boolean
  readonly takeOverMs: number
  readonly random: Random
}

/**
 * Makes sure that what is sent from now on reaches the subscription. Answers the footing, or undefined where another member has the right to read by now.
 * @throws FairleadError of the feed or of the store
 */
export async function stand(parts: FootingParts, signal: AbortSignal): Promise<Footing | undefined> {
  const { lane, source } = parts
  if (lane === undefined) {
    const { position } = await source.tail(startOf(parts), signal)
    return { progress: freshProgress(position), tenure: undefined }
  }
  for (;;) {
    const text = await lane.load()
    const tenure = await lane.ask()
    try {
      if (text !== undefined) await reach(parts, parseProgress(text).after, signal)
      const footing = tenure === undefined ? undefined : await begun(parts, lane, tenure, signal)
      if (footing !== undefined || text !== undefined) return footing
    } catch (error) {
      await tenure?.release().catch(() => {})
      throw error
    }
    // Somebody else is making the group right now.
    await pause(lane, parts.random, signal)
  }
}

/** Waits for the right to read for a group. */
export async function takeOver(parts: FootingParts, recovery: Recovery, signal: AbortSignal): Promise<Footing> {
  const { lane } = parts
  if (lane === undefined) throw new TypeError('a live subscription has one footing')
  for (;;) {
    signal.throwIfAborted()
    let tenure: Tenure | undefined
    try {
      tenure = await lane.ask()
      if (tenure !== undefined) return await begun(parts, lane, tenure, signal)
    } catch (error) {
      await tenure?.release().catch(() => {})
      signal.throwIfAborted()
      await recovery.failed(classify(error), signal)
      continue
    }
    await pause(lane, parts.random, signal)
  }
}

// Reads the position anew: it was written by whoever had the right before. The first member of a group writes it.
async function begun(parts: FootingParts, lane: Lane, tenure: Tenure, signal: AbortSignal): Promise<Footing> {
  const text = await lane.load()
  if (text !== undefined) return { progress: parseProgress(text), tenure }
  const { position } = await parts.source.tail(startOf(parts), signal)
  await tenure.save(position)
  return { progress: freshProgress(position), tenure }
}

// Whether the feed is there at all is better known now than later.
async function reach({ source, goesOnWhenExpired }: FootingParts, after: string, signal: AbortSignal): Promise<void> {
  try {
    await source.tail(after, signal)
  } catch (error) {
    if (!goesOnWhenExpired || !isFairleadError(error, 'POSITION_EXPIRED')) throw error
  }
}

function startOf({ from, topic }: FootingParts): Start {
  if (typeof from === 'object' && 'positions' in from) return from.positions[topic] ?? 'earliest'
  return from ?? 'latest'
}

// Members that wait must not all ask at once.
function pause(lane: Lane, random: Random, signal: AbortSignal): Promise<void> {
  const { takeOverMs, clock } = lane.settings
  return sleep(clock, takeOverMs * (0.5 + random() / 2), signal)
}
