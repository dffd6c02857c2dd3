// Errors of the language itself: a mistake of the program, unless it is JSON that would not parse.
import type { Table } from './classify-facts.ts'

const MISTAKES: ReadonlySet<string> = new Set([
  'TypeError',
  'ReferenceError',
  'RangeError',
  'SyntaxError',
  'EvalError',
  'URIError',
  'AssertionError',
])

/** TypeError and its like, by name, so that those of another realm count too. */
export const plainTable: Table = ({ isError, name, code, message }) => {
  if (!isError || !(MISTAKES.has(name) || code === 'ERR_ASSERTION')) return undefined
  // JSON.parse has no code; every text that V8 gives it has this word.
  if (name === 'SyntaxError' && /\bJSON\b/.test(message)) return { code: 'REPLY_UNDECODABLE', effect: 'unknown' }
  return { code: 'PROGRAMMING_ERROR', weak: true }
}
