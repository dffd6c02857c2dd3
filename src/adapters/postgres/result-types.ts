// How values come back. Our own parsers, so that a `setTypeParser` somewhere in the program changes nothing of what we read.

const BOOL = 16
const BYTEA = 17
const INT2 = 21
const INT4 = 23
const OID = 26
const JSON_ = 114
const FLOAT4 = 700
const FLOAT8 = 701
const JSONB = 3802

const asText = (value: string): string => value

const PARSERS: Readonly<Record<number, (value: string) => unknown>> = {
  [BOOL]: (value) => value === 't',
  [BYTEA]: bytes,
  [INT2]: Number,
  [INT4]: Number,
  [OID]: Number,
  [FLOAT4]: Number,
  [FLOAT8]: Number,
  [JSON_]: (value) => JSON.parse(value) as unknown,
  [JSONB]: (value) => JSON.parse(value) as unknown,
}

/** The types that come as something else than text. */
export const PARSED_TYPES: readonly number[] = Object.keys(PARSERS).map(Number)

/**
 * For the `types` of a query. Booleans, 2 and 4 byte integers, floats, JSON and bytea come as what they are; all else as text,
 * 8 byte integers and numeric among it (a number could not hold them), and dates (give milliseconds instead).
 */
export const RESULT_TYPES: { getTypeParser(oid: number, format?: string): (value: any) => unknown } = {
  getTypeParser: (oid, format) => (format === 'binary' ? (value) => value : (PARSERS[oid] ?? asText)),
}

// `bytea_output` may be set to `escape`, for a role or a database.
function bytes(value: string): Buffer {
  if (value.startsWith('\\x')) return Buffer.from(value.slice(2), 'hex')
  const plain = value.replace(/\\(\\|[0-7]{3})/g, (_, what: string) =>
    what === '\\' ? '\\' : String.fromCharCode(Number.parseInt(what, 8)),
  )
  return Buffer.from(plain, 'latin1')
}
