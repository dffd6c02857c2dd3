// An envelope in the columns of a table: id, key, head (all the rest, as JSON text) and body. Text and not a JSON type of the database: those cannot hold
// every text, and nobody looks into it on the way.
import type { Envelope } from './message.ts'

interface Head {
  /** Attributes. */
  readonly a: Readonly<Record<string, string>>
  /** Headers of the user. */
  readonly h?: Readonly<Record<string, string>>
  readonly p?: number
  readonly n?: number
  readonly e?: number
}

/** Everything but id, key and body. */
export function packHead({ attributes, headers, priority, notBefore, expiresAt }: Envelope): string {
  const head: Head = {
    a: attributes,
    ...(isEmpty(headers) ? undefined : { h: headers }),
    ...(priority === undefined ? undefined : { p: priority }),
    ...(notBefore === undefined ? undefined : { n: notBefore }),
    ...(expiresAt === undefined ? undefined : { e: expiresAt }),
  }
  return JSON.stringify(head)
}

/** The envelope again. @throws SyntaxError for a head that is no JSON */
export function unpackEnvelope(id: string, key: string | null | undefined, head: string, body: Uint8Array): Envelope {
  const { a, h, p, n, e } = JSON.parse(head) as Head
  return {
    id,
    ...(key === null || key === undefined ? undefined : { key }),
    ...(p === undefined ? undefined : { priority: p }),
    ...(n === undefined ? undefined : { notBefore: n }),
    ...(e === undefined ? undefined : { expiresAt: e }),
    attributes: a,
    headers: h ?? {},
    body,
  }
}

function isEmpty(record: Readonly<Record<string, string>>): boolean {
  for (const _ in record) return false
  return true
}
