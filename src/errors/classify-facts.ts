// What can safely be read of something that was thrown. A getter, a proxy or a `toString` of a stranger may throw; nothing here lets that out.
import { types } from 'node:util'
import type { Code, Effect } from './codes.ts'

/** Longest text that is kept of a foreign message. */
const LONGEST = 300

/** One thrown thing, or one link of its chain of causes. */
export interface Facts {
  readonly value: unknown
  /** Made by `Error`, in any realm. */
  readonly isError: boolean
  /** '' where there is none. */
  readonly name: string
  /** The `code` if it is a string. */
  readonly code: string
  /** The whole message, as far as 2,000 characters. */
  readonly message: string
  /** The system call of a Node system error: `connect`, `read`, `getaddrinfo`, `queryA`. */
  readonly syscall: string
}

/** What a table says of one link. */
export interface Finding {
  readonly code: Code
  /** Where it differs from the table of codes. */
  readonly effect?: Effect | undefined
  readonly transient?: boolean | undefined
  readonly retryAfterMs?: number | undefined
  readonly details?: unknown
  /** Only true if no cause further in says more. */
  readonly weak?: boolean | undefined
  /** What is found further in is only true of what was never sent. */
  readonly innerEffect?: Effect | undefined
  /** What it is instead if the reply had begun. */
  readonly codeInBody?: Code | undefined
  /** The reply had begun: a connection that is lost further in cut the body. */
  readonly inBody?: boolean | undefined
  /** The peer answered, so that nothing measured before can say that nothing was sent. */
  readonly answered?: boolean | undefined
}

/** What the tables may look at besides the error itself. */
export interface TableHints {
  /** Where the exchange stood: setting up the connection, waiting for the head of the reply, reading its body. */
  readonly phase?: 'connect' | 'head' | 'body' | undefined
  /** Wall clock, milliseconds since 1970: for a Retry-After that is a date. Without it such a date is not understood. */
  readonly now?: number | undefined
  /** The contract says that a 503 was not processed. Default false. */
  readonly unavailableMeansNotProcessed?: boolean | undefined
}

/** A table: knows one family of errors, and says nothing of the others. */
export type Table = (facts: Facts, hints: TableHints) => Finding | undefined

/** Reads a property, or undefined if that throws. */
export function read(from: unknown, key: PropertyKey): unknown {
  if ((typeof from !== 'object' || from === null) && typeof from !== 'function') return undefined
  try {
    return (from as Record<PropertyKey, unknown>)[key]
  } catch {
    return undefined
  }
}

/** Reads a property that should be text; '' if it is not. */
export function readText(from: unknown, key: PropertyKey): string {
  const value = read(from, key)
  return typeof value === 'string' ? (value.length > 2_000 ? value.slice(0, 2_000) : value) : ''
}

/** Reads at most so many members of a property that should be a list. Undefined if it is none, or is empty. */
export function readList(from: unknown, key: PropertyKey, most: number): readonly unknown[] | undefined {
  const value = read(from, key)
  try {
    // Of a proxy even these two may throw.
    if (!Array.isArray(value) || !(value.length > 0)) return undefined
    return Array.from({ length: Math.min(value.length, most) }, (_, at) => read(value, at))
  } catch {
    return undefined
  }
}

/** Whether it was made by `Error`, in any realm; a proxy is none. */
export function isErrorLike(value: unknown): boolean {
  if (types.isNativeError(value)) return true
  try {
    return value instanceof Error
  } catch {
    return false
  }
}

/** Looks at one thing. */
export function look(value: unknown): Facts {
  return {
    value,
    isError: isErrorLike(value),
    name: readText(value, 'name'),
    code: readText(value, 'code'),
    message: readText(value, 'message'),
    syscall: readText(value, 'syscall'),
  }
}

/** A foreign text for our own message: one line, no control characters, bounded. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim()
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}...` : line
}

/** Says of something that is no Error what it was. */
export function describeThrown(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return `the string ${JSON.stringify(oneLine(value))}`
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'function') return 'a function'
  if (value === undefined) return 'undefined'
  return `the ${typeof value} ${oneLine(String(value))}`
}
