// Headers that say what a CloudEvent does not: for whom a pushed message is, and how often it was handed out before.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'

/** `queue:mails` or `topic:orders`; the name percent-encoded. Without it the last segments of the path say it. */
export const CHANNEL_HEADER = 'fairlead-channel'
/** The group of a topic, percent-encoded; `*` for live subscribers only. Without it every subscription at the receiver is meant. */
export const GROUP_HEADER = 'fairlead-group'
/** How often the message was handed out before. */
export const REDELIVERIES_HEADER = 'fairlead-redeliveries'
/** On a 503: `retry` says that the message was given back, and that other receivers must wait for `Retry-After` as well. */
export const VERDICT_HEADER = 'fairlead-verdict'

/** In place of a group: subscribers without one, each of which gets every message. */
export const LIVE = '*'

/** The value of `CHANNEL_HEADER`. */
export function writeChannel({ kind, name }: ChannelAddress): string {
  return `${kind}:${encodeURIComponent(name)}`
}

/** Reads `CHANNEL_HEADER`. Undefined where it is none. */
export function readChannel(value: string): ChannelAddress | undefined {
  const parts = /^(queue|topic):(.+)$/.exec(value.trim())
  const name = parts === null ? undefined : decoded(parts[2] as string)
  return name === undefined ? undefined : { kind: parts?.[1] as ChannelAddress['kind'], name }
}

/** Undoes percent-encoding. Undefined where it cannot be undone. */
export function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** One string a place: for maps. */
export function placeKey({ kind, name, group }: ChannelPlace): string {
  const channel = `${kind}:${encodeURIComponent(name)}`
  return group === undefined ? channel : `${channel}/${encodeURIComponent(group)}`
}

/** A place in words. */
export function placeName({ kind, name, group }: ChannelPlace): string {
  return group === undefined ? `${kind} ${name}` : `${kind} ${name}, group ${group}`
}
