// What makes no sense, or a transport cannot keep, is refused before anything is sent; nothing is silently degraded.
import type { MessageTransport, TransportCapabilities } from '../core/contracts/transport.ts'
import { bytesAbove } from '../core/envelope.ts'
import type { ChannelAddress, Envelope } from '../core/message.ts'
import { durationOption, invalidOption, knownOptions } from '../core/options.ts'
import { createError } from '../errors/classes.ts'
import type { Code } from '../errors/codes.ts'
import type { CallOptions } from '../policies/call.ts'
import { isChannel } from './channel.ts'
import { isTraceHeader } from './trace.ts'

/** What may be said of one call. Anything else is refused with `INVALID_OPTIONS`. */
export interface PublishOptions {
  /** For the whole call, validation included, milliseconds. Default: that of the publisher. An inherited deadline that is sooner wins. */
  readonly deadlineMs?: number | undefined
  /** The caller's own way to give up. Its reason becomes the cause of a `CANCELLED`. */
  readonly signal?: AbortSignal | undefined
  /**
   * The trace context of the call: `traceparent`, `tracestate` and `baggage`, and no others. Default: what the work that publishes has inherited.
   * Headers that a consumer is to see are those of the message: `publish(channel, { type, data, headers: { tenant } })`.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

const CALL_OPTIONS = ['deadlineMs', 'signal', 'headers']

/**
 * The options of one call, checked, its headers in lower case.
 * @throws FairleadError `INVALID_OPTIONS`: no channel, or an option that makes no sense
 */
export function checkCall(channel: unknown, options: PublishOptions | undefined): CallOptions | undefined {
  if (!isChannel(channel)) throw invalidOption('channel', channel, 'give what queue() or topic() made')
  if (options === undefined) return undefined
  knownOptions('publish options', options, CALL_OPTIONS)
  const { deadlineMs, signal, headers } = options
  durationOption('deadlineMs', deadlineMs, 1)
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    throw invalidOption('signal', signal, 'give an AbortSignal')
  return headers === undefined ? options : { ...options, headers: traceOf(headers) }
}

function traceOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers) || headers instanceof Headers)
    throw invalidOption('headers', headers, 'give a plain object: name to value')
  const trace: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (!isTraceHeader(lower))
      throw invalidOption(
        `headers.${name}`,
        value,
        'those of a call are its trace context (traceparent, tracestate, baggage); give others with the message: { type, data, headers }',
      )
    if (value === undefined) continue
    if (typeof value !== 'string') throw invalidOption(`headers.${name}`, value, 'give a text')
    trace[lower] = value
  }
  return trace
}

/**
 * What speaks against sending a message, if anything.
 * @returns a FairleadError: `CAPABILITY_MISSING`, `PAYLOAD_TOO_LARGE`, or `TOO_LATE` for what has expired
 */
export function objection(
  channel: ChannelAddress,
  envelope: Envelope,
  transport: MessageTransport,
  wallNow: number,
): Error | undefined {
  const { capabilities, name } = transport
  const { expiresAt, notBefore, priority } = envelope
  const against = new Objections(channel, envelope, transport)
  if (!capabilities.modes.includes(channel.kind)) return against.lacking('modes', `${name} has no ${channel.kind}s`)
  if (expiresAt !== undefined && expiresAt <= wallNow)
    return against.make('TOO_LATE', `it expired ${Math.round(wallNow - expiresAt)} ms ago`)
  if (priority !== undefined && priority !== 0 && !capabilities.priority)
    return against.lacking('priority', `${name} keeps no priorities`)
  if (notBefore !== undefined && notBefore > wallNow) {
    const delayMs = notBefore - wallNow
    const { delay, maxDelayMs } = capabilities
    if (delay === 'none') return against.lacking('delay', `${name} cannot hold a message back until its notBefore`)
    if (delayMs > maxDelayMs)
      return against.lacking(
        'maxDelayMs',
        `${name} holds messages back for ${maxDelayMs} ms at most, not ${delayMs} ms`,
      )
  }
  const limit = capabilities.maxPayloadBytes
  const bytes = bytesAbove(limit, envelope)
  if (bytes !== undefined)
    return against.make('PAYLOAD_TOO_LARGE', `it has ${bytes} bytes, and ${name} carries ${limit}`, { bytes, limit })
  return undefined
}

class Objections {
  readonly #channel: ChannelAddress
  readonly #envelope: Envelope
  readonly #transport: MessageTransport

  constructor(channel: ChannelAddress, envelope: Envelope, transport: MessageTransport) {
    this.#channel = channel
    this.#envelope = envelope
    this.#transport = transport
  }

  lacking(capability: keyof TransportCapabilities, message: string): Error {
    const promised = this.#transport.capabilities[capability]
    const advice = `${message}; docs/support.md says which transports do`
    return this.make('CAPABILITY_MISSING', advice, { capability, promised })
  }

  make(code: Code, message: string, more: object = {}): Error {
    const { kind, name } = this.#channel
    const { id, attributes } = this.#envelope
    return createError({
      code,
      message: `${attributes['type']} for ${kind} ${name}: ${message}`,
      transport: this.#transport.name,
      channel: name,
      details: { id, ...more },
    })
  }
}
