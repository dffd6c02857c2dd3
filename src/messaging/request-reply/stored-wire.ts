// What comes in for a stored requester: replies as they were sent, and timeouts of its own.
import type { Envelope } from '../../core/message.ts'
import type { AnySchema } from '../../core/schema.ts'
import { createError } from '../../errors/classes.ts'
import { queue } from '../channel.ts'
import type { Codec } from '../codec.ts'
import { Run } from '../consumer/run.ts'
import type { HandlerContext } from '../consumer/types.ts'
import type { Channel } from '../types.ts'
import { replyTypeOf } from './reply-wire.ts'

/** Type of the message that says that the time of a request is over. It has no data: its correlation id names the request. */
export const TIMED_OUT = 'fairlead.request.timed-out'

const ANYTHING: AnySchema = {
  '~standard': { version: 1, vendor: 'fairlead', validate: (value) => ({ value }) },
}

// Replies are read only when it is known that somebody waits for them, by the schemas of their request.
const UNREAD: Codec = {
  contentType: 'application/octet-stream',
  accepts: () => true,
  encode: (data) => data as Uint8Array,
  decode: (body) => body,
}

/** The queue for replies to these types of requests. */
export function repliesChannel(name: string, types: Iterable<string>): Channel {
  const own: Record<string, AnySchema> = { [TIMED_OUT]: ANYTHING }
  for (const type of types) own[replyTypeOf(type)] = ANYTHING
  return queue(name, own, { codec: UNREAD, compressAboveBytes: Infinity }) as unknown as Channel
}

/** The message as it was carried: a declared failure stands in an attribute, which handlers are not shown. */
export function carriedBy(context: HandlerContext): Envelope {
  const envelope = context instanceof Run ? context.held[0]?.delivery.envelope : undefined
  if (envelope === undefined)
    throw createError({ code: 'PROGRAMMING_ERROR', message: 'a reply is handled by the consumer that took it' })
  return envelope
}
