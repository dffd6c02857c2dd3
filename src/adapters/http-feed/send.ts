// Sending is appending: what may be appended, and what became of it.
import type { Clock } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import type { SendResult } from '../../core/contracts/transport.ts'
import { envelopeBytes } from '../../core/envelope.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Code } from '../../errors/codes.ts'
import type { Feed } from './feed.ts'

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })

/** Appends what can be appended, in one go. One verdict per envelope; never rejects. */
export async function appended(
  feed: Feed,
  channel: ChannelAddress,
  envelopes: readonly Envelope[],
  context: CallContext,
  transport: string,
  clock: Clock,
): Promise<readonly SendResult[]> {
  const { name } = channel
  const failed = (code: Code, message?: string | undefined, details?: object | undefined): SendResult => ({
    status: 'failed',
    error: createError({ code, message, transport, channel: name, details }),
  })
  const results: SendResult[] = []
  const good: Envelope[] = []
  let behind: Map<string, string> | undefined
  for (const envelope of envelopes) {
    const { key } = envelope
    const ahead = key === undefined ? undefined : behind?.get(key)
    let result = ACCEPTED
    if (ahead !== undefined)
      result = failed('TOO_EARLY', `it is of key ${key}, behind ${ahead}, which could not be sent`, { ahead })
    else if (envelope.notBefore !== undefined && envelope.notBefore > clock.wallNow())
      result = failed('CAPABILITY_MISSING', 'a feed has no delay: it would hold up all that comes after')
    else if (envelopeBytes(envelope) > feed.maxPayloadBytes)
      result = failed('PAYLOAD_TOO_LARGE', `the limit is ${feed.maxPayloadBytes} bytes`)
    results.push(result)
    if (result === ACCEPTED) good.push(envelope)
    else if (key !== undefined && ahead === undefined) (behind ??= new Map()).set(key, envelope.id)
  }
  if (good.length === 0) return results
  const verdict = await appendAll(feed, name, good, context, transport, clock)
  return verdict === ACCEPTED ? results : results.map((result) => (result === ACCEPTED ? verdict : result))
}

async function appendAll(
  feed: Feed,
  topic: string,
  envelopes: readonly Envelope[],
  context: CallContext,
  transport: string,
  clock: Clock,
): Promise<SendResult> {
  try {
    const work = feed.append(topic, envelopes)
    const leftMs = context.deadline.remainingMs()
    // A disk can take its time; memory cannot.
    if (feed.log.acknowledged === 'memory' || leftMs === Infinity) await work
    else if (!(await endsWithin(work, leftMs, clock)))
      return { status: 'failed', error: createError({ code: 'DEADLINE_EXCEEDED', transport, channel: topic }) }
    return ACCEPTED
  } catch (error) {
    return { status: 'failed', error: classify(error, { transport, channel: topic }) }
  }
}
