// Sending is appending: what may be appended, and what became of it.
import type { Clock } from '../../core/clock.ts'
import type { CallContext } from '../../core/context.ts'
import type { SendResult } from '../../core/contracts/transport.ts'
import { bytesAbove } from '../../core/envelope.ts'
import { inKeyOrder } from '../../core/key-order.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { endsWithin } from '../../core/patience.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { Code } from '../../errors/codes.ts'
import type { Feed } from './feed.ts'

const ACCEPTED: SendResult = Object.freeze({ status: 'accepted' })
const failed = (error: Error): SendResult => ({ status: 'failed', error })

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
  const error = (code: Code, message: string, details?: object | undefined): Error =>
    createError({ code, message, transport, channel: name, details })
  const good: Envelope[] = []
  const results = inKeyOrder(
    envelopes,
    (envelope) => {
      if (envelope.notBefore !== undefined && envelope.notBefore > clock.wallNow())
        return failed(error('CAPABILITY_MISSING', 'a feed has no delay: it would hold up all that comes after'))
      if (bytesAbove(feed.maxPayloadBytes, envelope) !== undefined)
        return failed(error('PAYLOAD_TOO_LARGE', `the limit is ${feed.maxPayloadBytes} bytes`))
      good.push(envelope)
      return ACCEPTED
    },
    (message, details) => error('TOO_EARLY', message, details),
  )
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
