// The whole body of an answer as text: bounded, so that a registry gone mad cannot fill the memory.
import { createError } from '../../errors/classes.ts'

/**
 * Reads a body, unpacked where it was compressed.
 * @throws FairleadError REPLY_TOO_LARGE, REPLY_UNDECODABLE
 */
export async function readText(
  body: AsyncIterable<Uint8Array>,
  encoding: string | undefined,
  mostBytes: number,
): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of body) {
    size += piece.length
    if (size > mostBytes) throw tooLarge(mostBytes)
    pieces.push(piece)
  }
  const whole = Buffer.concat(pieces)
  return (/^(x-)?gzip$/i.test(encoding ?? '') ? unpack(whole, mostBytes) : whole).toString('utf8')
}

function unpack(whole: Buffer, mostBytes: number): Buffer {
  try {
    return process.getBuiltinModule('node:zlib').gunzipSync(whole, { maxOutputLength: mostBytes })
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(mostBytes)
    throw createError({
      code: 'REPLY_UNDECODABLE',
      message: 'the answer cannot be unpacked',
      cause: error,
      stack: false,
    })
  }
}

function tooLarge(mostBytes: number): Error {
  return createError({
    code: 'REPLY_TOO_LARGE',
    message: `the answer is larger than ${mostBytes} bytes`,
    stack: false,
  })
}
