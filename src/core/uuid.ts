// Ids that sort by the time they were made (UUID version 7, RFC 9562 section 5.7): kind to the indexes of databases.
import { randomUUID } from 'node:crypto'
import type { Clock } from './clock.ts'

/**
 * A new UUID, version 7, on the clock's wall time. Its order is for indexes only: two made within one millisecond may sort either way,
 * and clocks of two machines do not agree, so it is no cursor.
 */
export function uuidV7(clock: Clock): string {
  return prefixOf(clock.wallNow()) + random()
}

/** As `uuidV7`, for those who make many: the part that is the same for a millisecond is made once. */
export function uuidSource(clock: Clock): () => string {
  let at = Number.NaN
  let prefix = ''
  return () => {
    const ms = Math.floor(clock.wallNow())
    if (ms !== at) {
      at = ms
      prefix = prefixOf(ms)
    }
    return prefix + random()
  }
}

function prefixOf(wallMs: number): string {
  const ms = Math.max(0, Math.floor(wallMs)).toString(16).padStart(12, '0')
  return `${ms.slice(0, 8)}-${ms.slice(8, 12)}-7`
}

// The random bits, their variant among them, are those of a version 4.
function random(): string {
  return randomUUID().slice(15)
}
