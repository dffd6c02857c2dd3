// What a verdict means to the broker: what goes elsewhere is published there and confirmed first, and only then acknowledged here. A crash in between makes two of
// it, never none.
import type { Clock } from '../../core/clock.ts'
import type { AmqpMessage } from './driver.ts'
import type { Place } from './place.ts'
import type { Sender } from './sender.ts'
import type { Topology } from './topology.ts'
import { waitFor } from './waiting.ts'
import { again, COUNT_HEADER, DEAD_AT_HEADER, DUE_HEADER, REASON_HEADER } from './wire.ts'

const MOST_REASON = 4_000

/** What verdicts need. */
export interface VerdictParts {
  readonly clock: Clock
  readonly sender: Sender
  readonly topology: Topology
  readonly place: Place
}

/** Puts it back at the end of its queue, with its count. For queues that do not count. */
export function backToQueue({ sender, place }: VerdictParts, message: AmqpMessage, count: number): Promise<void> {
  const to = { exchange: '', routingKey: place.queue }
  return sender.move(to, again(message, count > 0 ? { [COUNT_HEADER]: String(count) } : {}))
}

/** Lets it wait, and then come back. */
export async function later(
  { clock, sender, topology, place }: VerdictParts,
  message: AmqpMessage,
  count: number,
  delayMs: number,
): Promise<void> {
  const dueAt = clock.wallNow() + delayMs
  const { ttlMs, early } = waitFor(delayMs)
  const queue = await topology.waitQueue({ exchange: '', routingKey: place.queue }, ttlMs)
  const own: Record<string, string> = {}
  if (count > 0) own[COUNT_HEADER] = String(count)
  if (early) own[DUE_HEADER] = String(Math.ceil(dueAt))
  try {
    await sender.move({ exchange: '', routingKey: queue }, again(message, own))
  } catch (error) {
    topology.forgetWait(queue)
    throw error
  }
}

/** Puts it among the dead letters. */
export function toDead(
  { clock, sender }: VerdictParts,
  dead: string,
  message: AmqpMessage,
  reason: string,
): Promise<void> {
  const own = {
    [REASON_HEADER]: reason.slice(0, MOST_REASON),
    [DEAD_AT_HEADER]: String(Math.floor(clock.wallNow())),
  }
  return sender.move({ exchange: '', routingKey: dead }, again(message, own))
}
