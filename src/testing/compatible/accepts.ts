// Whether a JSON Schema accepts one value: for the values of an enum, which can be tried one by one.
import type { JsonSchema } from './json-schema.ts'

/**
 * Whether the simple keywords of a schema accept a value. Objects and arrays, which no enum of ours has, are taken as accepted.
 * @param doubt told of what cannot be tried here, which is taken as accepted
 */
export function accepts(schema: JsonSchema, value: unknown, doubt: (why: string) => void): boolean {
  if ('const' in schema && !same(schema['const'], value)) return false
  if (Array.isArray(schema['enum']) && !schema['enum'].some((one) => same(one, value))) return false
  for (const keyword of ['anyOf', 'oneOf'])
    if (Array.isArray(schema[keyword]) && !(schema[keyword] as JsonSchema[]).some((one) => accepts(one, value, doubt)))
      return false
  if (Array.isArray(schema['allOf']) && !(schema['allOf'] as JsonSchema[]).every((one) => accepts(one, value, doubt)))
    return false
  if (schema['type'] !== undefined && ![schema['type']].flat().some((type) => isOf(type as string, value))) return false
  if (typeof value === 'string') return acceptsText(schema, value, doubt)
  if (typeof value === 'number') return acceptsNumber(schema, value)
  return true
}

function acceptsText(
  { minLength, maxLength, pattern, format }: JsonSchema,
  value: string,
  doubt: (why: string) => void,
): boolean {
  const length = [...value].length
  if (typeof minLength === 'number' && length < minLength) return false
  if (typeof maxLength === 'number' && length > maxLength) return false
  if (typeof pattern !== 'string') {
    if (format !== undefined) doubt(`whether ${JSON.stringify(value)} is of the format ${String(format)}`)
    return true
  }
  try {
    return new RegExp(pattern, 'u').test(value)
  } catch {
    // JSON Schema reads patterns as Unicode ones, which a pattern of a program need not be.
    doubt(`the pattern ${pattern} cannot be tried`)
    return true
  }
}

function acceptsNumber(schema: JsonSchema, value: number): boolean {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  if (typeof minimum === 'number' && value < minimum) return false
  if (typeof maximum === 'number' && value > maximum) return false
  if (typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) return false
  return !(typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum)
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'null') return value === null
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value)
  return typeof value === type
}

/** Whether two JSON values say the same, whatever the order of their members. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  const keys = Object.keys(left)
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && same(left[key], right[key]))
  )
}
