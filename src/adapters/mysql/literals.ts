// Puts parameters into a statement as literals that mean the same on every server: whatever `sql_mode` says of backslashes and quotes, and whatever
// character set the connection has. What is not plain ASCII goes as hexadecimal digits.
import { createError } from '../../errors/index.ts'

// Neither a quote nor a backslash nor a control character.
const PLAIN = /^[ !"#$%&()*+,\-./0-9:;<=>?@A-Z[\]^_`a-z{|}~]+$/

// Quoted text, quoted names and comments, or a place for a parameter. Doubled quotes are two neighbours of the first kinds.
const PIECES = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"|`[^`]*`|--[ \t][^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|\?/g

/**
 * The statement with a literal for each `?` outside of quotes and comments.
 * @throws FairleadError `PROGRAMMING_ERROR` for a kind of value that no statement can carry, or a number of values that does not fit
 */
export function render(text: string, params: readonly unknown[]): string {
  if (params.length === 0) return text
  let next = 0
  const sql = text.replace(PIECES, (piece) => (piece === '?' ? literal(params[next++]) : piece))
  if (next !== params.length) throw misuse(`the statement has ${next} places, and there are ${params.length} values`)
  return sql
}

/** A value as it stands in SQL. @throws FairleadError `PROGRAMMING_ERROR` */
export function literal(value: unknown): string {
  if (value === null) return 'null'
  switch (typeof value) {
    case 'string':
      return PLAIN.test(value) ? `_utf8mb4'${value}'` : `_utf8mb4 X'${Buffer.from(value, 'utf8').toString('hex')}'`
    case 'number':
      if (Number.isFinite(value)) return String(value)
      break
    case 'bigint':
      return String(value)
    case 'boolean':
      return value ? '1' : '0'
    case 'object':
      if (value instanceof Uint8Array) return bytes(value)
  }
  throw misuse(
    `a parameter is ${typeof value === 'object' ? 'an object' : String(value)}: give null, text, a number, a boolean or bytes`,
  )
}

function bytes(value: Uint8Array): string {
  const buffer = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  // JSON mostly is plain, and half as long so.
  const text = buffer.toString('latin1')
  return PLAIN.test(text) ? `_binary'${text}'` : `_binary X'${buffer.toString('hex')}'`
}

function misuse(message: string): Error {
  return createError({ code: 'PROGRAMMING_ERROR', effect: 'none', message })
}
