// Names of schemas, channels and the like come from users: they are quoted everywhere, and what PostgreSQL would cut off in silence is refused.
import { invalidOption } from '../../core/options.ts'

/** Names longer than this are cut off by PostgreSQL (NAMEDATALEN), so that two could become one. */
const LONGEST_BYTES = 63

/** The tag around bodies of functions in our migrations: a name must not end them. */
export const BODY_TAG = '$fairlead$'

/** Where the tables are unless somebody says otherwise. */
export const DEFAULT_SCHEMA = 'fairlead'

/**
 * A name as it stands in SQL, in quotes.
 * @throws FairleadError `INVALID_OPTIONS` for one that is empty, longer than 63 bytes, or holds a NUL or `$fairlead$`
 */
export function identifier(option: string, name: string): string {
  if (typeof name !== 'string' || name === '') throw invalidOption(option, name, 'give a name')
  if (Buffer.byteLength(name) > LONGEST_BYTES)
    throw invalidOption(option, name, `PostgreSQL cuts names at ${LONGEST_BYTES} bytes: give a shorter one`)
  if (name.includes('\0') || name.includes(BODY_TAG))
    throw invalidOption(option, name, `a name must hold neither NUL nor ${BODY_TAG}`)
  return `"${name.replaceAll('"', '""')}"`
}

/** A text as it stands in SQL. Whatever `standard_conforming_strings` says, nothing in it ends the literal. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
