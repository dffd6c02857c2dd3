// What the operating system says of a disk, in fairlead's words.
import { type FairleadError, isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import type { Code, Effect } from '../../errors/codes.ts'

const CODES: Readonly<Record<string, Code>> = {
  ENOSPC: 'SELF_EXHAUSTED',
  EDQUOT: 'SELF_EXHAUSTED',
  EMFILE: 'SELF_EXHAUSTED',
  ENFILE: 'SELF_EXHAUSTED',
  EFBIG: 'SELF_EXHAUSTED',
  EACCES: 'FORBIDDEN',
  EPERM: 'FORBIDDEN',
  EROFS: 'FORBIDDEN',
  ENOENT: 'NOT_FOUND',
}

/** The error of something that a disk did not do. Anything that is not known is a `SERVER_ERROR`: the disk failed. */
export function diskError(error: unknown, effect: Effect, channel?: string | undefined): FairleadError {
  if (isFairleadError(error)) return error
  const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string }
  return createError({ code: CODES[code] ?? 'SERVER_ERROR', message, effect, channel, cause: error })
}
