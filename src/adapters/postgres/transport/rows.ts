// Envelopes as parameters of statements, and rows as envelopes.
import type { Envelope } from '../../../core/message.ts'

/** The parameters of one batch, in the order of `message_send`: ids to bodies. */
export function sendParams(envelopes: readonly Envelope[]): unknown[] {
  const ids: string[] = []
  const keys: (string | null)[] = []
  const priorities: number[] = []
  const notBefore: (number | null)[] = []
  const expires: (number | null)[] = []
  const attributes: string[] = []
  const headers: (string | null)[] = []
  const ends: number[] = []
  const bodies: Uint8Array[] = []
  let end = 0
  for (const envelope of envelopes) {
    ids.push(envelope.id)
    keys.push(envelope.key ?? null)
    priorities.push(envelope.priority ?? 0)
    notBefore.push(instant(envelope.notBefore))
    expires.push(instant(envelope.expiresAt))
    // JSON as text: a jsonb cannot hold \u0000, and nobody looks into it on the way.
    attributes.push(JSON.stringify(envelope.attributes))
    headers.push(isEmpty(envelope.headers) ? null : JSON.stringify(envelope.headers))
    end += envelope.body.byteLength
    ends.push(end)
    bodies.push(envelope.body)
  }
  // One binary parameter: an array of bytea would travel as text, twice as long.
  return [ids, keys, priorities, notBefore, expires, attributes, headers, ends, Buffer.concat(bodies)]
}

/** What a row of `message_turn` or `dead` says of its message. */
export function envelopeOf(row: Readonly<Record<string, unknown>>): Envelope {
  const { id, key, priority, not_before: notBefore, expires_at: expiresAt, attributes, headers, body } = row
  return {
    id: id as string,
    ...(key === null ? undefined : { key: key as string }),
    ...(priority === 0 ? undefined : { priority: priority as number }),
    ...(notBefore === null ? undefined : { notBefore: Number(notBefore) }),
    ...(expiresAt === null ? undefined : { expiresAt: Number(expiresAt) }),
    attributes: JSON.parse(attributes as string) as Record<string, string>,
    headers: headers === null ? {} : (JSON.parse(headers as string) as Record<string, string>),
    body: body as Uint8Array,
  }
}

/** Why the tables cannot hold it; undefined: they can. */
export function unstorable({ id, key, priority = 0, notBefore, expiresAt }: Envelope): string | undefined {
  if (id.includes('\0') || key?.includes('\0')) return 'PostgreSQL holds no text with a NUL: id and key must be without'
  if (!Number.isInteger(priority) || priority < -LARGEST || priority > LARGEST)
    return `the priority is ${priority}: give a whole number from ${-LARGEST} to ${LARGEST}`
  for (const [name, ms] of [
    ['notBefore', notBefore],
    ['expiresAt', expiresAt],
  ] as const)
    if (ms !== undefined && !(Math.abs(ms) <= LAST_MS)) return `${name} is ${ms}: give milliseconds since 1970`
  return undefined
}

const LARGEST = 2 ** 31 - 1
// The last instant of a Date.
const LAST_MS = 8.64e15

function instant(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.floor(ms)
}

function isEmpty(record: Readonly<Record<string, string>>): boolean {
  for (const _ in record) return false
  return true
}
