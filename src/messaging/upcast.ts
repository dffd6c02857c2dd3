// Old messages become new ones, one version at a time, before they are validated: handlers know the newest version only.
import { createError } from '../errors/classes.ts'
import type { MessageType } from './types.ts'

/**
 * Data of an older version, as the newest.
 * @throws FairleadError `MESSAGE_INVALID` naming the step that failed
 */
export function upcast(type: MessageType, name: string, version: number, data: unknown): unknown {
  let current = data
  for (let from = version; from < type.version; from++) {
    const step = `the upcaster of ${name} from version ${from} to ${from + 1}`
    try {
      current = (type.upcasters[from] as (data: unknown) => unknown)(current)
    } catch (cause) {
      throw createError({ code: 'MESSAGE_INVALID', message: `${step} threw`, cause, details: { step: from } })
    }
    if (current instanceof Promise) {
      // Nobody waits for it.
      current.catch(() => {})
      throw createError({
        code: 'MESSAGE_INVALID',
        message: `${step} gave a promise: upcasters work on the data alone`,
        details: { step: from },
      })
    }
  }
  return current
}
