// Tells requests apart where the user gave no key. Two different requests must never look alike: the answer to one would be given to the other.
import { createHash } from 'node:crypto'

const DEEPEST = 8
const LONGEST = 256

/**
 * A text that is the same for equal requests: primitives, plain objects (in any order of their fields), arrays and dates.
 * Undefined for everything else (functions, streams, maps, instances of classes, cycles): what cannot be told apart has no key.
 */
export function requestKey(request: unknown): string | undefined {
  const text = write(request, 0)
  return text === undefined || text.length <= LONGEST ? text : createHash('sha256').update(text).digest('base64')
}

function write(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      return Object.is(value, -0) ? '0' : String(value)
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint':
      return `${value}n`
    case 'object':
      return value === null ? 'null' : depth === DEEPEST ? undefined : writeObject(value, depth + 1)
    default:
      return undefined
  }
}

function writeObject(value: object, depth: number): string | undefined {
  if (Array.isArray(value)) {
    let text = '['
    for (let index = 0; index < value.length; index++) {
      const part = write(value[index], depth)
      if (part === undefined) return undefined
      text += `${part},`
    }
    return `${text}]`
  }
  if (value instanceof Date) return `@${value.getTime()}`
  const prototype: unknown = Object.getPrototypeOf(value)
  if ((prototype !== Object.prototype && prototype !== null) || Object.getOwnPropertySymbols(value).length > 0)
    return undefined
  let text = '{'
  for (const name of Object.keys(value).sort()) {
    const field = (value as Record<string, unknown>)[name]
    // As in JSON: a field that is undefined is a field that is not there.
    if (field === undefined) continue
    const part = write(field, depth)
    if (part === undefined) return undefined
    text += `${JSON.stringify(name)}:${part},`
  }
  return `${text}}`
}
