// What an answer of a registry means before anybody looks inside: an error by its status, or JSON, or neither.
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { statusToError } from '../../errors/classify.ts'
import type { RegistryAnswer } from './client.ts'

/** The error that a status outside of 2xx stands for, with what the server said. */
export function statusError(registry: string, answer: RegistryAnswer): FairleadError {
  const said = answer.text.replace(/\s+/g, ' ').trim().slice(0, 200)
  return statusToError(answer.status, {
    headers: answer.headers,
    message: `${registry} answered ${answer.status}${said === '' ? '' : `: ${said}`}`,
  })
}

/**
 * The JSON of an answer.
 * @throws FairleadError of the status when it is not 2xx; REPLY_UNDECODABLE for XML, HTML, nothing, or half of it
 */
export function jsonOf(registry: string, answer: RegistryAnswer): unknown {
  if (answer.status < 200 || answer.status > 299) throw statusError(registry, answer)
  try {
    return JSON.parse(answer.text.replace(/^\uFEFF/, ''))
  } catch {
    const looks =
      answer.text.trim() === '' ? 'nothing' : answer.text.trimStart().startsWith('<') ? 'XML or HTML' : 'something'
    throw createError({
      code: 'REPLY_UNDECODABLE',
      message: `${registry} answered ${looks} that is no JSON (${answer.status}, ${answer.headers['content-type'] ?? 'no content type'})`,
      stack: false,
    })
  }
}
