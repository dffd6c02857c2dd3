// What the API server says when it refuses: a Status document, as an answer and in the middle of a watch.
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { statusError } from '../registry/answer.ts'
import type { RegistryAnswer } from '../registry/client.ts'

/** What went wrong, and what it means for the version that we hold. */
export interface Refusal {
  readonly error: FairleadError
  readonly status: number
  /** `expired`: what lies between our version and now is forgotten. `ahead`: the server does not know our version yet, or no more. */
  readonly version: 'fine' | 'expired' | 'ahead'
}

type Fields = Readonly<Record<string, unknown>>

/** An object's fields, or none. */
export function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** A list, or an empty one: Go writes null for none. One thing where a list is due is a list of one. */
export function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

/** A text that is not empty, of bearable length. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 1_024 ? value : undefined
}

/** Reads an answer of 400 and more. */
export function refusal(answer: RegistryAnswer): Refusal {
  let status: Fields = {}
  try {
    status = fields(JSON.parse(answer.text))
  } catch {
    // A proxy in between answered in words of its own.
  }
  const message = text(status.message)
  return {
    error: statusError('Kubernetes', message === undefined ? answer : { ...answer, text: message }),
    status: answer.status,
    version: versionOf(answer.status, status),
  }
}

/** Reads the Status of an ERROR event: the watch began with 200 and was refused afterwards. */
export function refusedEvent(object: unknown): Refusal {
  const status = fields(object)
  const code = typeof status.code === 'number' && status.code >= 400 && status.code <= 599 ? status.code : 500
  const said = text(status.message) ?? text(status.reason) ?? 'no reason given'
  const wait = fields(status.details).retryAfterSeconds
  const headers = typeof wait === 'number' && wait > 0 ? { 'retry-after': String(Math.ceil(wait)) } : {}
  return {
    error: statusError('Kubernetes, in the middle of a watch,', { status: code, headers, text: said }),
    status: code,
    version: versionOf(code, status),
  }
}

function versionOf(code: number, status: Fields): Refusal['version'] {
  const reason = status.reason
  if (code === 410 || reason === 'Expired' || reason === 'Gone') return 'expired'
  const causes = list(fields(status.details).causes).map((each) => fields(each).reason)
  return causes.includes('ResourceVersionTooLarge') ? 'ahead' : 'fine'
}

/** The error for what is no answer of an API server. */
export function unreadable(what: string): FairleadError {
  return createError({ code: 'REPLY_UNDECODABLE', message: `Kubernetes answered ${what}`, stack: false })
}

/** How long the server asked to wait, milliseconds. */
export function askedToWait(error: unknown): number {
  return isFairleadError(error) ? (error.retryAfterMs ?? 0) : 0
}
