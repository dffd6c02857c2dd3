// What a verdict means to the broker: what goes elsewhere is published there and confirmed first, and only then acknowledged here. A crash in between makes two of
// it, never none.
import { type Clock, sleep } from '../../core/clock.ts'
import type { SettleOptions, SettleVerdict } from '../../core/contracts/transport.ts'
import type { Arrival } from './arrival.ts'
import type { AmqpMessage } from './driver.ts'
import type { Place } from './place.ts'
import type { Sender } from './sender.ts'
import { free } from './session.ts'
import type { Topology } from './topology.ts'
import { waitFor } from './waiting.ts'
import { again, COUNT_HEADER, DEAD_AT_HEADER, DUE_HEADER, REASON_HEADER } from './wire.ts'

const AGAIN_MS = 1_000
const MOST_REASON = 4_000

/** What verdicts need. */
export interface VerdictParts {
  readonly clock: Clock
  readonly sender: Sender
  readonly topology: Topology
  readonly place: Place
}

/** Puts it where its verdict wants it to be; resolves once it is there. What is acknowledged goes nowhere. */
export async function elsewhere(
  parts: VerdictParts,
  message: AmqpMessage,
  count: number,
  verdict: SettleVerdict,
  options: SettleOptions | undefined,
): Promise<void> {
  const { dead } = parts.place
  const delayMs = options?.delayMs ?? 0
  if (verdict === 'retry') {
    if (delayMs > 0) await later(parts, message, count + 1, delayMs)
    else await backToQueue(parts, message, count + 1)
  } else if (verdict === 'dead' && dead !== undefined) await toDead(parts, dead, message, options?.reason ?? 'given up')
}

/** Lets one wait that came before its time. Never rejects. */
export async function postponed(
  parts: VerdictParts,
  { message, session, slot, count }: Arrival,
  delayMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { deliveryTag } = message
  try {
    await later(parts, message, count, delayMs)
    await new Promise<unknown>((told) => session.acknowledge(deliveryTag, slot, told))
  } catch {
    await sleep(parts.clock, AGAIN_MS, signal).then(
      () => session.nack(deliveryTag, slot),
      () => free(slot),
    )
  }
}

// Back to the end of its queue, with its count. For queues that do not count.
function backToQueue({ sender, place }: VerdictParts, message: AmqpMessage, count: number): Promise<void> {
  const to = { exchange: '', routingKey: place.queue }
  return sender.move(to, again(message, count > 0 ? { [COUNT_HEADER]: String(count) } : {}))
}

// Lets it wait, and then come back.
async function later(
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

// Among the dead letters.
function toDead({ clock, sender }: VerdictParts, dead: string, message: AmqpMessage, reason: string): Promise<void> {
  const own = {
    [REASON_HEADER]: reason.slice(0, MOST_REASON),
    [DEAD_AT_HEADER]: String(Math.floor(clock.wallNow())),
  }
  return sender.move({ exchange: '', routingKey: dead }, again(message, own))
}
