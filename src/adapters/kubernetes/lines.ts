// A watch sends one JSON document a line, and the network cuts them anywhere, also within a letter.
import { createError } from '../../errors/classes.ts'

// etcd keeps objects up to 1.5 MB; JSON makes a little more of it.
const LONGEST = 16 * 1024 * 1024

/** Puts lines together again. */
export interface LineReader {
  /**
   * The lines that are whole now, without blank ones.
   * @throws FairleadError REPLY_TOO_LARGE for a line that does not end
   */
  push(piece: Uint8Array): readonly string[]
}

/** Makes a reader for one stream. */
export function lineReader(longest: number = LONGEST): LineReader {
  const decoder = new TextDecoder()
  let parts: string[] = []
  let length = 0
  return {
    push(piece) {
      const texts = decoder.decode(piece, { stream: true }).split('\n')
      const lines: string[] = []
      for (const [index, text] of texts.entries()) {
        if (index > 0) {
          const line = parts.join('')
          if (line.trim() !== '') lines.push(line)
          parts = []
          length = 0
        }
        length += text.length
        if (length > longest)
          throw createError({
            code: 'REPLY_TOO_LARGE',
            message: `a line of the watch is longer than ${longest}`,
            stack: false,
          })
        if (text !== '') parts.push(text)
      }
      return lines
    },
  }
}
