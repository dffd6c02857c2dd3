// Takes the compression off a reply, with a bound on what comes out: a few kilobytes can unpack to gigabytes.
import type { BrotliDecompress, Gunzip, Inflate } from 'node:zlib'

/** Why a body could not be decoded. */
export type DecodeFault = 'too-large' | 'undecodable'

/** Called once, with the body or with why there is none. */
export type Decoded = (fault: DecodeFault | undefined, body: Buffer, cause?: unknown) => void

type Coder = (
  body: Buffer,
  options: { readonly maxOutputLength: number },
  done: (error: Error | null, result: Buffer) => void,
) => void

// Loaded when the first compressed reply comes: importing fairlead must cost next to nothing.
function zlib(): typeof import('node:zlib') {
  return process.getBuiltinModule('node:zlib')
}

const CODERS: Readonly<Record<string, () => Coder>> = {
  gzip: () => zlib().gunzip,
  'x-gzip': () => zlib().gunzip,
  br: () => zlib().brotliDecompress,
  deflate: () => inflateEither,
}

// Some servers leave the zlib header out (RFC 9110, 8.4.1.2, note). Its first byte tells.
const inflateEither: Coder = (body, options, done) => {
  const { inflate, inflateRaw } = zlib()
  const coder = ((body[0] ?? 0) & 0x0f) === 8 ? inflate : inflateRaw
  coder(body, options, done)
}

// Several codings on top of one another are allowed and unheard of; many of them are an attack.
const MOST_CODINGS = 3
const EMPTY = Buffer.alloc(0)

/** The codings of a Content-Encoding header, in the order in which they were put on. Empty where there are none. */
export function codingsOf(header: string | undefined): readonly string[] {
  if (header === undefined) return []
  return header
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '' && each !== 'identity')
}

/** Takes the codings off a whole body; at most `maxBytes` may come out. */
export function decodeBody(body: Buffer, codings: readonly string[], maxBytes: number, done: Decoded): void {
  const coding = codings.at(-1)
  if (coding === undefined || body.length === 0) {
    done(undefined, body)
    return
  }
  const coder = Object.hasOwn(CODERS, coding) ? CODERS[coding]?.() : undefined
  if (coder === undefined || codings.length > MOST_CODINGS) {
    done('undecodable', EMPTY, new TypeError(`content-encoding ${codings.join(', ')} is not supported`))
    return
  }
  coder(body, { maxOutputLength: maxBytes }, (error, result) => {
    if (error === null) return decodeBody(result, codings.slice(0, -1), maxBytes, done)
    done((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'undecodable', EMPTY, error)
  })
}

/** A transform that takes one coding off a stream; undefined for none, an error for one that is not known. */
export function streamDecoder(codings: readonly string[]): Gunzip | BrotliDecompress | Inflate | undefined {
  const [coding, ...more] = codings
  if (coding === undefined) return undefined
  if (more.length === 0) {
    if (coding === 'gzip' || coding === 'x-gzip') return zlib().createGunzip()
    if (coding === 'br') return zlib().createBrotliDecompress()
    if (coding === 'deflate') return zlib().createInflate()
  }
  throw new TypeError(`content-encoding ${codings.join(', ')} is not supported`)
}
