// An envelope as one flat CloudEvent and back: where every binding (HTTP, Kafka, AMQP ...) begins.
import { formatInstant, parseInstant } from '../../core/instant.ts'
import type { Envelope } from '../../core/message.ts'
import { createError } from '../../errors/classes.ts'
import { isCarriable } from '../fields.ts'

// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#naming-conventions
const NAME = /^[a-z0-9]+$/
const REQUIRED = ['source', 'type'] as const

// Type system of CloudEvents, String.
const NOT_ALLOWED = 'control characters or others that CloudEvents do not allow'

/** The attributes that nearly all messages have some of: bindings keep their names ready. */
export const USUAL_ATTRIBUTES: readonly string[] = [
  'id',
  'specversion',
  'source',
  'type',
  'time',
  'subject',
  'dataschema',
  'typeversion',
  'partitionkey',
  'priority',
  'notbefore',
  'expirytime',
  'correlationid',
  'causationid',
  'replyto',
  'traceparent',
  'tracestate',
]

/** All attributes of the CloudEvent that an envelope is, by their wire names, those among them that have a field of their own. */
export function toAttributes(envelope: Envelope): Record<string, string> {
  const all: Record<string, string> = { id: envelope.id, ...envelope.attributes }
  all['specversion'] ??= '1.0'
  if (envelope.key !== undefined) all['partitionkey'] = envelope.key
  if (envelope.priority !== undefined) all['priority'] = String(envelope.priority)
  if (envelope.notBefore !== undefined) all['notbefore'] = formatInstant(envelope.notBefore)
  if (envelope.expiresAt !== undefined) all['expirytime'] = formatInstant(envelope.expiresAt)
  return all
}

/**
 * The envelope of a CloudEvent. Attributes that we do not know are kept. A `priority` or an instant that is none is kept as an attribute and means nothing.
 * @param positionId the id of an event that has none, made of its position, where the broker gives one; without it such an event is refused
 * @throws FairleadError `MESSAGE_UNDECODABLE`: no id, source or type; another major version; a name that CloudEvents do not allow; control characters
 */
export function fromAttributes(
  all: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  positionId?: string | undefined,
): Envelope {
  const attributes: Record<string, string> = {}
  const fields: Fields = {}
  for (const name of Object.keys(all)) {
    if (!NAME.test(name))
      throw undecodable(`the attribute ${JSON.stringify(name)} has a name that CloudEvents do not allow`, all)
    const value = all[name] as string
    if (!isCarriable(value)) throw undecodable(`the attribute ${name} has ${NOT_ALLOWED}`, all)
    // Put in and deleted again they would make the object a slow one.
    if (!takes(fields, name, value)) attributes[name] = value
  }
  for (const name of Object.keys(headers))
    if (!isCarriable(headers[name] as string))
      throw undecodable(`the header ${JSON.stringify(name)} has ${NOT_ALLOWED}`, all)
  const fault = versionFault(attributes['specversion'])
  if (fault !== undefined) throw undecodable(fault, all)
  const { id = '', key, priority, notBefore, expiresAt } = fields
  const known = id === '' ? positionId : id
  if (known === undefined) throw undecodable('the event has no id', all)
  for (const name of REQUIRED) if (!attributes[name]) throw undecodable(`the event has no ${name}`, all)
  return { id: known, key, priority, notBefore, expiresAt, attributes, headers, body }
}

/** What speaks against a `specversion`, if anything: another major version. None is taken for 1.0. */
export function versionFault(specversion: string | undefined): string | undefined {
  if (specversion === undefined || /^1(\.|$)/.test(specversion)) return undefined
  return `it is of CloudEvents ${specversion}; 1.0 is known`
}

/** Attributes that have a field of their own in the envelope. */
interface Fields {
  id?: string
  key?: string
  priority?: number | undefined
  notBefore?: number | undefined
  expiresAt?: number | undefined
}

// Whether a field took it; what is no priority and no instant stays an attribute.
function takes(fields: Fields, name: string, value: string): boolean {
  switch (name) {
    case 'id':
      fields.id = value
      return true
    case 'partitionkey':
      // An empty key is no key: it would put all such messages in one row.
      if (value !== '') fields.key = value
      return true
    case 'priority':
      fields.priority = parsePriority(value)
      return fields.priority !== undefined
    case 'notbefore':
      fields.notBefore = parseInstant(value)
      return fields.notBefore !== undefined
    case 'expirytime':
      fields.expiresAt = parseInstant(value)
      return fields.expiresAt !== undefined
    default:
      return false
  }
}

function parsePriority(text: string): number | undefined {
  return /^[+-]?\d{1,10}$/.test(text) ? Math.min(Math.max(Number(text), -32_768), 32_767) : undefined
}

/** The error for what is no CloudEvent. */
export function undecodable(message: string, about: Readonly<Record<string, unknown>> = {}, cause?: unknown): Error {
  const details: Record<string, unknown> = {}
  for (const name of ['id', 'source', 'type'] as const) if (typeof about[name] === 'string') details[name] = about[name]
  return createError({ code: 'MESSAGE_UNDECODABLE', message, details, ...(cause === undefined ? {} : { cause }) })
}
