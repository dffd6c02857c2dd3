// One digest of several texts: what names a row in tables whose indexes cannot hold the texts themselves.
import { createHash } from 'node:crypto'

/** SHA-256 of several texts; where one ends and the next begins is part of it. Stored: it must never change. */
export function digestOf(...parts: readonly string[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest()
}
