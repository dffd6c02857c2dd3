// What is refused before anything is asked of the broker.
import type { ChannelPlace, ReceiveFrom } from '../../core/contracts/transport.ts'
import { bytesAbove } from '../../core/envelope.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { type Code, createError, type FairleadError } from '../../errors/index.ts'
import type { KafkaSettings } from './options.ts'

/** Why an envelope cannot be sent, if it cannot. */
export function problemOf(
  channel: ChannelAddress,
  envelope: Envelope,
  { name, maxPayloadBytes, maxDelayMs, clock }: KafkaSettings,
): FairleadError | undefined {
  const error = (code: Code, message: string): FairleadError =>
    createError({ code, message, transport: name, channel: channel.name })
  if (bytesAbove(maxPayloadBytes, envelope) !== undefined)
    return error('PAYLOAD_TOO_LARGE', `the limit is ${maxPayloadBytes} bytes`)
  const { notBefore } = envelope
  if (notBefore !== undefined && notBefore - clock.wallNow() > maxDelayMs)
    return error('CAPABILITY_MISSING', `notBefore is further away than ${maxDelayMs} ms, the longest delay`)
  return undefined
}

/** It has to be made first. */
export function notThere({ kind, name }: ChannelAddress, transport?: string | undefined): FairleadError {
  const message = `there is no ${kind} ${name}: prepare() makes it`
  return createError({ code: 'CHANNEL_NOT_FOUND', message, transport, channel: name })
}

/** @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING` */
export function checkReceive({ channel, group, from, temporary }: ReceiveFrom, transport: string): void {
  if (channel.kind === 'queue' && group !== undefined)
    throw invalidOption('group', group, 'a queue has no groups: leave it out, or receive from a topic')
  if (group === '') throw invalidOption('group', group, 'give a name, or leave it out for a live subscription')
  if (temporary === true && group !== undefined)
    throw invalidOption('group', group, 'a temporary place has no groups: leave it out')
  if (typeof from === 'object' && 'positions' in from)
    for (const position of Object.values(from.positions))
      if (!/^\d{1,15}$/.test(position)) throw invalidOption('from.positions', position, 'give positions of deliveries')
  if (channel.kind === 'queue' && from !== undefined && typeof from === 'object')
    throw createError({
      code: 'CAPABILITY_MISSING',
      message: 'a queue has no replay: receive from it as a topic',
      transport,
      channel: channel.name,
    })
}

/** The group that is meant, where one is. @throws FairleadError `INVALID_OPTIONS` */
export function groupOf({ kind, group }: ChannelPlace, { queueGroup }: KafkaSettings): string | undefined {
  if (kind === 'queue' && group !== undefined)
    throw invalidOption('group', group, 'a queue has no groups: leave it out, or make a topic')
  return kind === 'queue' ? queueGroup : group
}

/** @throws FairleadError `INVALID_OPTIONS` for a topic without one */
export function neededGroup(channel: ChannelPlace, settings: KafkaSettings): string {
  const group = groupOf(channel, settings)
  if (group === undefined) throw invalidOption('group', undefined, 'say which group of the topic is meant')
  return group
}
