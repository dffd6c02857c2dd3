// The answer of a server adapter as the reply to a call, for transports that carry it without a socket.

import { createError } from '../errors/classes.ts'
import { fromProblem } from '../errors/wire.ts'
import type { CallContext } from './context.ts'
import type { OperationDescriptor, RpiReply } from './contracts/rpi.ts'
import { FAILURE_HEADER, isJsonType, parseJson, readFailure } from './http-wire.ts'

/** An answer that came whole. */
export interface WholeReply {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** What every error of a call says of it. */
export interface CallHints {
  readonly service: string
  readonly operation: string
  readonly transport: string
  readonly idempotent: boolean
  readonly attempt: number
}

/** Of an attempt on a transport. */
export function hintsOf(operation: OperationDescriptor, context: CallContext, transport: string): CallHints {
  return {
    service: operation.service,
    operation: operation.name,
    transport,
    idempotent: context.idempotent,
    attempt: context.attempt,
  }
}

/**
 * Reads an answer: its output or its declared failure.
 * @throws FairleadError what the server says; `REPLY_UNDECODABLE`
 */
export function readReply(operation: OperationDescriptor, reply: WholeReply, hints: CallHints): RpiReply {
  const { status, headers, text } = reply
  const decoded = (): unknown => {
    try {
      return text === '' ? undefined : parseJson(text)
    } catch (cause) {
      throw createError({ ...hints, code: 'REPLY_UNDECODABLE', cause })
    }
  }
  const failureName = headers[FAILURE_HEADER]
  const failure = failureName === undefined ? undefined : readFailure(operation, failureName, decoded())
  if (failure !== undefined) return { output: failure.data, failure: failure.failure, headers }
  if (status >= 300)
    throw fromProblem(text, status, { ...hints, unavailableMeansNotProcessed: operation.unavailableMeansNotProcessed })
  if (text !== '' && !isJsonType(headers['content-type'])) throw createError({ ...hints, code: 'REPLY_UNDECODABLE' })
  return { output: decoded(), headers }
}
