// Gives a message up, at the place that is meant for it. Sent there first and acknowledged then: a crash in between doubles it, and loses nothing.
import { createContext } from '../../core/context.ts'
import { deadlineIn } from '../../core/deadline.ts'
import type { Envelope } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import type { Held } from './held.ts'
import type { Settings } from './options.ts'

const SEND_MS = 10_000
// Brokers limit their headers; the event has the whole reason.
const LONGEST = 1_000

/** Settles as dead. Rejects where that could not be done: the message then comes again. */
export function giveUp(held: Held, reason: string, settings: Settings): Promise<void> {
  const { deadLetter } = settings
  if (deadLetter === 'transport') return held.delivery.settle('dead', { reason })
  if (deadLetter === 'drop') return held.delivery.settle('ack')
  return sendThere(held.delivery.envelope, reason, settings).then(() => held.delivery.settle('ack'))
}

async function sendThere(envelope: Envelope, reason: string, settings: Settings): Promise<void> {
  const { deadLetter, channel, group, world } = settings
  if (deadLetter === 'transport' || deadLetter === 'drop') return
  const letter: Envelope = {
    id: envelope.id,
    key: envelope.key,
    priority: envelope.priority,
    attributes: envelope.attributes,
    // Without `notBefore` and `expiresAt`: a dead letter is there at once, and stays.
    headers: {
      ...envelope.headers,
      'dead-letter-reason': printable(reason),
      'dead-letter-channel': channel.name,
      ...(group === undefined ? {} : { 'dead-letter-group': group }),
    },
    body: envelope.body,
  }
  const { context } = createContext({
    service: deadLetter.channel.name,
    operation: 'publish',
    deadline: deadlineIn(SEND_MS, world.clock),
    idempotent: true,
  })
  const [result] = await deadLetter.transport.send(deadLetter.channel, [letter], context)
  if (result?.status === 'accepted' || result?.status === 'duplicate') return
  throw (
    result?.error ??
    createError({ code: 'CALL_FAILED', message: 'the transport gave no verdict', channel: deadLetter.channel.name })
  )
}

// Headers of most brokers are one line of plain characters.
function printable(reason: string): string {
  return reason.replace(/[^\x20-\x7e]+/g, ' ').slice(0, LONGEST)
}
