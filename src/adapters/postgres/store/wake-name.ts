// What processes of one outbox listen to. Channels of NOTIFY are names, cut at 63 bytes.
import { digestOf } from '../../../core/digest.ts'

const LONGEST_BYTES = 63

/** The channel of NOTIFY of the outbox in this schema: `fairlead/outbox/` and the schema, or a digest of it where that is too long. */
export function wakeName(schema: string): string {
  const name = `fairlead/outbox/${schema}`
  return Buffer.byteLength(name) <= LONGEST_BYTES
    ? name
    : `fairlead/outbox/${digestOf(schema).toString('hex').slice(0, 32)}`
}
