// One file of a log: a JSON line an event, with the time it was appended and a checksum. A line that was not finished is cut off when the file is opened again.
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { createError } from '../../errors/classes.ts'

/** Where an event lies in its file. */
export interface Line {
  readonly at: number
  readonly offset: number
  readonly length: number
}

const NEWLINE = 10
// {"at":1767225600000,"crc":"0f3a22c1","event":{...}}
const LINE = /^\{"at":(\d{1,15}),"crc":"([0-9a-f]{8})","event":(.*)\}$/s

/** An event as a line of the file. */
export function lineOf(event: string, at: number): string {
  return `{"at":${at},"crc":"${checksum(event)}","event":${event}}\n`
}

/** The event of a line, or undefined where the line is none, or damaged. */
export function eventIn(line: string): { readonly at: number; readonly event: string } | undefined {
  const [, at, sum, event] = LINE.exec(line) ?? []
  return event !== undefined && checksum(event) === sum ? { at: Number(at), event } : undefined
}

function checksum(event: string): string {
  return crc32(event).toString(16).padStart(8, '0')
}

/**
 * Finds the lines of a file.
 * @param isLast whether it is the newest file of its topic, which a crash may have left with an unfinished line: that is cut off
 * @throws FairleadError `MESSAGE_UNDECODABLE` for a damaged line that is not the last one
 */
export async function linesIn(path: string, isLast: boolean): Promise<readonly Line[]> {
  const file = await open(path, isLast ? 'r+' : 'r')
  try {
    const bytes = await file.readFile()
    const lines: Line[] = []
    let offset = 0
    while (offset < bytes.length) {
      const end = bytes.indexOf(NEWLINE, offset)
      const found = end < 0 ? undefined : eventIn(bytes.toString('utf8', offset, end))
      if (found === undefined) {
        // What was being written when it crashed was never acknowledged. An intact event behind it says that this is something else.
        if (!isLast || (end >= 0 && hasEvent(bytes, end + 1)))
          throw createError({
            code: 'MESSAGE_UNDECODABLE',
            message: `${path} is damaged at byte ${offset}`,
            details: { path, offset },
          })
        await file.truncate(offset)
        await file.datasync()
        break
      }
      lines.push({ at: found.at, offset, length: end + 1 - offset })
      offset = end + 1
    }
    return lines
  } finally {
    await file.close()
  }
}

function hasEvent(bytes: Buffer, from: number): boolean {
  for (let offset = from, end = bytes.indexOf(NEWLINE, from); end >= 0; end = bytes.indexOf(NEWLINE, offset)) {
    if (eventIn(bytes.toString('utf8', offset, end)) !== undefined) return true
    offset = end + 1
  }
  return false
}
