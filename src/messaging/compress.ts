// Large bodies travel smaller. Off the event loop's thread: a megabyte takes tens of milliseconds.
import { lazy } from '../core/lazy.ts'
import { createError } from '../errors/classes.ts'

/** Value of the attribute `contentencoding`. */
export const GZIP = 'gzip'

// A few kilobytes can unpack to gigabytes.
const MOST_BYTES = 64 * 1024 * 1024

// Most services never meet a body that is large enough.
const zlib = (): typeof import('node:zlib') => lazy('node:zlib')

/** The body smaller, or undefined where it would not get smaller. */
export function compress(body: Uint8Array): Promise<Uint8Array | undefined> {
  return new Promise((resolve) => {
    zlib().gzip(body, (error, smaller) =>
      resolve(error === null && smaller.byteLength < body.byteLength ? smaller : undefined),
    )
  })
}

/**
 * Unpacks a body.
 * @param encoding value of the attribute `contentencoding`
 * @param mostBytes what it may unpack to; default 64 MiB
 * @throws FairleadError `MESSAGE_UNDECODABLE` for another encoding, for damaged bytes, and for what unpacks to more
 */
export function decompress(body: Uint8Array, encoding: string, mostBytes: number = MOST_BYTES): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (encoding.toLowerCase() !== GZIP)
      return reject(
        createError({
          code: 'MESSAGE_UNDECODABLE',
          message: `its contentencoding is ${encoding}, and only gzip is known`,
        }),
      )
    zlib().gunzip(body, { maxOutputLength: mostBytes }, (cause, unpacked) => {
      if (cause === null) return resolve(unpacked)
      const tooLarge = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
      const message = tooLarge
        ? `its body unpacks to more than ${mostBytes} bytes`
        : 'its body is damaged: it is no gzip'
      reject(createError({ code: 'MESSAGE_UNDECODABLE', message, cause }))
    })
  })
}
