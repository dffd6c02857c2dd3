// What may be said of a message besides its data: checked before it is sent, so that every broker and every CloudEvents reader can take it.
import { LAST_INSTANT } from '../core/instant.ts'
import type { Issue } from '../core/schema.ts'
import { isAddressName } from './channel.ts'
import type { PublishFields } from './types.ts'

// CloudEvents 1.0.2, type system: a String holds neither control characters, nor lone surrogates, nor noncharacters.
const NOT_CARRIABLE = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u
const HEADER = /^[A-Za-z0-9-]{1,200}$/
const LEAST_PRIORITY = -32_768
const MOST_PRIORITY = 32_767
// The shortest limits that brokers have for such things are above these.
const LONGEST_ID = 256
const LONGEST = 1_024

const FIELDS = new Set([
  'type',
  'data',
  'id',
  'subject',
  'key',
  'priority',
  'notBefore',
  'expiresAt',
  'correlationId',
  'causationId',
  'replyTo',
  'headers',
])

/** Whether a text can be the value of an attribute or a header. */
export function isCarriable(text: string): boolean {
  return !NOT_CARRIABLE.test(text)
}

/** Whether it can be the id of a message. */
export function isId(id: unknown): id is string {
  return isText(id, LONGEST_ID)
}

/** Everything that is wrong with a message besides its data. */
export function fieldIssues(message: PublishFields & { readonly type: string }): Issue[] {
  const issues: Issue[] = []
  for (const name of Object.keys(message))
    if (!FIELDS.has(name))
      issues.push({ path: name, message: `a message has no such field; it has ${[...FIELDS].join(', ')}` })
  text(issues, 'id', message.id, LONGEST_ID)
  text(issues, 'key', message.key, LONGEST)
  text(issues, 'subject', message.subject, LONGEST)
  text(issues, 'correlationId', message.correlationId, LONGEST)
  text(issues, 'causationId', message.causationId, LONGEST)
  const { priority, notBefore, expiresAt, replyTo, headers } = message
  if (
    priority !== undefined &&
    !(Number.isInteger(priority) && priority >= LEAST_PRIORITY && priority <= MOST_PRIORITY)
  )
    issues.push({ path: 'priority', message: `give a whole number from ${LEAST_PRIORITY} to ${MOST_PRIORITY}` })
  instant(issues, 'notBefore', notBefore)
  instant(issues, 'expiresAt', expiresAt)
  if (notBefore !== undefined && expiresAt !== undefined && notBefore >= expiresAt)
    issues.push({ path: 'expiresAt', message: 'it is not after notBefore: the message could never be handled' })
  if (
    replyTo !== undefined &&
    !((replyTo?.kind === 'queue' || replyTo?.kind === 'topic') && isAddressName(replyTo.name))
  )
    issues.push({ path: 'replyTo', message: 'give the kind and the name of a channel' })
  if (headers !== undefined) headerIssues(issues, headers)
  return issues
}

function text(issues: Issue[], path: string, value: unknown, longest: number): void {
  if (value !== undefined && !isText(value, longest))
    issues.push({ path, message: `give a text of 1 to ${longest} characters without control characters` })
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= longest && isCarriable(value)
}

function instant(issues: Issue[], path: string, value: unknown): void {
  if (value === undefined) return
  if (typeof value !== 'number' || !(value >= 0 && value <= LAST_INSTANT))
    issues.push({ path, message: 'give milliseconds since 1970' })
}

function headerIssues(issues: Issue[], headers: unknown): void {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers) || headers instanceof Headers) {
    issues.push({ path: 'headers', message: 'give a plain object: name to value' })
    return
  }
  const names = new Set<string>()
  for (const [name, value] of Object.entries(headers)) {
    const path = `headers.${name}`
    if (!HEADER.test(name)) issues.push({ path, message: 'name headers with letters, digits and dashes, at most 200' })
    if (typeof value !== 'string' || !isCarriable(value))
      issues.push({ path, message: 'give a text without control characters' })
    const lower = name.toLowerCase()
    if (names.has(lower)) issues.push({ path, message: 'it is given twice: case makes no difference' })
    names.add(lower)
  }
}
