// The queue of a process: replies to its commands, and what comes at a time.
import type { AnySchema } from '../../core/schema.ts'
import { queue } from '../channel.ts'
import type { Codec } from '../codec.ts'
import { replyTypeOf } from '../request-reply/reply-wire.ts'
import type { Channel } from '../types.ts'
import type { ProcessDefinition } from './definition.ts'

/** Type of the message that says that a time has come, or that an operator wants something. Its correlation id names the process, its header `tick` the time. */
export const WAKE = 'fairlead.process.wake'
/** The header. */
export const TICK = 'tick'
/** In the place of a tick: what an operator wants stands in the row. */
export const WISH = 'wish'

const ANYTHING: AnySchema = { '~standard': { version: 1, vendor: 'fairlead', validate: (value) => ({ value }) } }

// Replies are read only when it is known that somebody waits for them, by the schemas of their step.
const UNREAD: Codec = {
  contentType: 'application/octet-stream',
  accepts: () => true,
  encode: (data) => data as Uint8Array,
  decode: (body) => body,
}

/** The queue with all types that these versions may be sent. */
export function ownChannel(name: string, definitions: readonly ProcessDefinition[]): Channel {
  const types: Record<string, AnySchema> = { [WAKE]: ANYTHING }
  for (const { steps } of definitions)
    for (const step of steps.values())
      for (const to of [step, step.ask, step.undo])
        if (to?.channel.types[to.type]?.reply !== undefined) types[replyTypeOf(to.type)] = ANYTHING
  return queue(name, types, { codec: UNREAD, compressAboveBytes: Infinity }) as unknown as Channel
}
