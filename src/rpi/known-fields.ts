// Schemas are opaque to us, but the common ones show the fields of an object; enough to find a misspelt path parameter when the contract is made.
import type { AnySchema } from './types.ts'

/** Names of the fields of an object schema of zod (`shape`), valibot (`entries`) or arktype (`json`); undefined where it cannot be known. */
export function knownFields(schema: AnySchema): ReadonlySet<string> | undefined {
  const { shape, entries, json } = schema as {
    readonly shape?: unknown
    readonly entries?: unknown
    readonly json?: unknown
  }
  for (const fields of [shape, entries]) if (isObject(fields)) return new Set(Object.keys(fields))
  if (!isObject(json) || json['domain'] !== 'object' || 'index' in json) return undefined
  const props = [json['required'], json['optional']].flatMap((part) => (Array.isArray(part) ? part : []))
  return new Set(props.flatMap((prop) => (isObject(prop) && typeof prop['key'] === 'string' ? [prop['key']] : [])))
}

function isObject(candidate: unknown): candidate is Readonly<Record<string, unknown>> {
  return typeof candidate === 'object' && candidate !== null && !Array.isArray(candidate)
}
