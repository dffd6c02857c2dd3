// JSON, strictly: what it cannot carry is refused with its path, or has a form that the channel declares.
import { isUtf8 } from 'node:buffer'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import { issueLine } from '../core/schema.ts'
import { createError } from '../errors/classes.ts'
import { type Codec, isJson, parameterOf } from './codec.ts'
import { carry, type JsonRules } from './json-carry.ts'

/** Options of the JSON codec. What is not declared here is refused. */
export interface JsonCodecOptions {
  /** `iso`: a Date is sent as an RFC 3339 string. It comes back as that string: the schema of the type makes a Date of it again. */
  readonly dates?: 'iso' | undefined
  /** `string`: a BigInt is sent as its decimal digits, and comes back as that string. */
  readonly bigints?: 'string' | undefined
  /** `toJSON`: an instance of a class, or an array, that has a `toJSON` is sent as what that gives. */
  readonly classes?: 'toJSON' | undefined
  /** How deep objects and arrays may be nested. Default 64. */
  readonly maxDepth?: number | undefined
}

/**
 * The default codec of channels.
 *
 * Refused with `INVALID_INPUT`, each place named in `details.issues`: BigInt, Date, Map, Set and other instances of classes, NaN and the infinities,
 * objects and arrays with a `toJSON`, functions, symbols, undefined in arrays, what contains itself, what is nested too deep. A member that is undefined is left out.
 * On the way in, members named `__proto__` are dropped.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example topic('orders', { 'order.placed': OrderPlaced }, { codec: jsonCodec({ dates: 'iso', bigints: 'string' }) })
 */
export function jsonCodec(options: JsonCodecOptions = {}): Codec {
  knownOptions('jsonCodec', options, ['dates', 'bigints', 'classes', 'maxDepth'])
  const rules: JsonRules = {
    dates: declared('dates', options.dates, 'iso'),
    bigints: declared('bigints', options.bigints, 'string'),
    classes: declared('classes', options.classes, 'toJSON'),
    maxDepth: countOption('jsonCodec.maxDepth', options.maxDepth, 64),
  }
  return Object.freeze({
    contentType: 'application/json',
    accepts,
    encode: (data: unknown) => encode(data, rules),
    decode,
  })
}

function declared(option: string, value: string | undefined, form: string): boolean {
  if (value !== undefined && value !== form)
    throw invalidOption(`jsonCodec.${option}`, value, `give '${form}' or leave it out`)
  return value !== undefined
}

function encode(data: unknown, rules: JsonRules): Uint8Array {
  const carried = carry(data, rules)
  if (!carried.ok) {
    const { issues } = carried
    throw createError({ code: 'INVALID_INPUT', message: issueLine(issues), details: { issues } })
  }
  return Buffer.from(JSON.stringify(carried.value))
}

// JSON is UTF-8 (RFC 8259 section 8.1).
function accepts(contentType: string): boolean {
  if (!isJson(contentType)) return false
  const charset = parameterOf(contentType, 'charset')
  return charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii'
}

function decode(body: Uint8Array): unknown {
  if (!isUtf8(body)) throw createError({ code: 'MESSAGE_UNDECODABLE', message: 'the body is not UTF-8' })
  const text = textOf(body)
  let data: unknown
  try {
    data = JSON.parse(text)
  } catch (cause) {
    throw createError({ code: 'MESSAGE_UNDECODABLE', message: 'the body is not JSON', cause })
  }
  return namesPrototype(text) ? withoutPrototypes(data) : data
}

function textOf(body: Uint8Array): string {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
  // A byte order mark is no JSON, but readers may ignore it (RFC 8259 section 8.1).
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

// Any letter of it may be escaped, as \u005f. Hardly a body has either, so the walk is seldom made.
function namesPrototype(text: string): boolean {
  return text.includes('__proto__') || text.includes('\\u00')
}

// JSON.parse makes an own member of it, which is harmless; a schema or a handler that copies members one by one would set a prototype.
// A loop, not a recursion: what was parsed may be nested deeper than the stack.
function withoutPrototypes(data: unknown): unknown {
  const waiting: unknown[] = [data]
  while (waiting.length > 0) {
    const value = waiting.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Object.hasOwn(value, '__proto__')) Reflect.deleteProperty(value, '__proto__')
    for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) waiting.push(member)
  }
  return data
}
