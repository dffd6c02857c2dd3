// What stands on the wire of a feed: names of headers, and events as text. docs/messaging.md describes it for servers and readers in other languages.
import { parseJson } from '../../core/http-wire.ts'
import type { Envelope } from '../../core/message.ts'
import { fromStructured, toStructured } from '../../messaging/cloudevents/index.ts'

/** The position at which an answer begins: that of the reader, or what `earliest`, `latest` or `since` came to. */
export const POSITION_HEADER = 'fairlead-position'
/** The position behind the events of a page: where to read on. */
export const NEXT_HEADER = 'fairlead-next'
/** With 410: the position before the oldest event that is kept. */
export const EARLIEST_HEADER = 'fairlead-earliest'
/** Of HEAD: how many events stand behind the position that was asked for. */
export const WAITING_HEADER = 'fairlead-waiting'
/** Of HEAD: the age of the oldest of them, milliseconds. A duration, because clocks of two machines do not agree. */
export const OLDEST_HEADER = 'fairlead-oldest-ms'
/** The extension attribute that carries the position of an event within a page. */
export const POSITION_ATTRIBUTE = 'feedposition'

/** An event of a page. */
export interface FeedEntry {
  /** Behind this event. */
  readonly position: string
  readonly envelope: Envelope
}

/**
 * An envelope as an event of a feed: data in plain sight where the reader gets the very same bytes out of them again, else in Base64.
 * JSON with numbers of twenty digits or with spaces would not come out as it went in.
 */
export function eventOf(envelope: Envelope): string {
  const text = toStructured(envelope)
  if (envelope.body.byteLength === 0) return text
  const back = fromStructured(parseJson(text))
  if (Buffer.compare(back.body, envelope.body) === 0 && sameType(back, envelope)) return text
  const { body } = envelope
  const base64 = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64')
  return `${toStructured({ ...envelope, body: new Uint8Array(0) }).slice(0, -1)},"data_base64":"${base64}"}`
}

function sameType(one: Envelope, other: Envelope): boolean {
  return one.attributes['datacontenttype'] === other.attributes['datacontenttype']
}

/** An event with its position, as it stands in a page. */
export function withPosition(event: string, position: string): string {
  return `{"${POSITION_ATTRIBUTE}":"${position}",${event.slice(1)}`
}

/**
 * The envelope of an event of a page. An event that has no id gets one of its position. One that is no CloudEvent becomes an envelope without attributes:
 * it must not stop the feed, so it takes the way of all messages that cannot be decoded. Its body is the event as text, or empty where it is nested too deeply for that.
 */
export function envelopeOf(event: unknown, topic: string, position: string): Envelope {
  const id = `${topic}/${position}`
  try {
    if (typeof event !== 'object' || event === null || Array.isArray(event)) return fromStructured(event)
    const { [POSITION_ATTRIBUTE]: _, ...rest } = event as Record<string, unknown>
    return fromStructured(typeof rest['id'] === 'string' && rest['id'] !== '' ? rest : { ...rest, id })
  } catch {
    return { id, attributes: {}, headers: {}, body: textOf(event) }
  }
}

// Nested deeper than the stack, it cannot be written down either: whoever gets it has its position then, and nothing else.
function textOf(event: unknown): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(event) ?? '')
  } catch {
    return new Uint8Array(0)
  }
}
