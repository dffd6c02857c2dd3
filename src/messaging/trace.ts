// W3C trace context and baggage travel with messages as attributes; publishers and handlers see them as headers, as on any call.
// https://www.w3.org/TR/trace-context/, https://www.w3.org/TR/baggage/
import { isCarriable } from './fields.ts'

const NAMES = ['traceparent', 'tracestate', 'baggage'] as const

type Headers = Readonly<Record<string, string>>

/** Whether a header travels as an attribute. */
export function isTraceHeader(name: string): boolean {
  return name === 'traceparent' || name === 'tracestate' || name === 'baggage'
}

/** Adds what the message itself says, or else what the call says. `tracestate` goes with its `traceparent`. */
export function traceInto(
  attributes: Record<string, string>,
  own: Headers | undefined,
  ofCall: Headers | undefined,
): void {
  const parent = own?.['traceparent'] === undefined ? ofCall : own
  add(attributes, 'traceparent', parent?.['traceparent'])
  if (parent?.['traceparent'] !== undefined) add(attributes, 'tracestate', parent['tracestate'])
  add(attributes, 'baggage', own?.['baggage'] ?? ofCall?.['baggage'])
}

// What came in with a request may be anything: a damaged trace must not keep a message from being sent.
function add(attributes: Record<string, string>, name: string, value: string | undefined): void {
  if (typeof value === 'string' && value !== '' && isCarriable(value)) attributes[name] = value
}

/** The headers of a message with its trace context among them. */
export function headersWithTrace(attributes: Headers, headers: Headers): Headers {
  let all: Record<string, string> | undefined
  for (const name of NAMES) {
    const value = attributes[name]
    if (value === undefined) continue
    all ??= { ...headers }
    all[name] = value
  }
  return all ?? headers
}
