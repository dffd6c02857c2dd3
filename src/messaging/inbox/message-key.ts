// A message by source and id, as one string.
import type { MessageIdentity } from '../../core/contracts/store.ts'

/** The same for the same message, and for no other. */
export function messageKey({ source, id }: MessageIdentity): string {
  return `${source.length}:${source}${id}`
}
