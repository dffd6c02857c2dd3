// Path and query carry text only. What the schema does not take as text is read again, field by field, only where the schema complains:
// `sku=42` stays the string '42' for a schema of strings and becomes 42 for one of numbers, whatever library the schema is from.
import { parseJson } from '../../core/http-wire.ts'
import { type Issue, type Validated, validate } from '../../core/schema.ts'
import type { AnySchema } from '../types.ts'

type Fields = Record<string, unknown>

/**
 * Validates an input of which some fields came as text.
 * @param texts the fields that came as text: a string, or an array of strings where the key was repeated
 */
export async function validateText(
  schema: AnySchema,
  input: Fields,
  texts: Readonly<Record<string, string | readonly string[]>>,
): Promise<Validated<unknown>> {
  const first = await validate(schema, input)
  if (first.ok) return first
  // Round 1 reads complained-of fields as JSON, round 2 takes single values for arrays of one, round 3 reads their items.
  const fields: Fields = { ...input }
  let report = first
  let last: Validated<unknown> = first
  for (const reread of [asJson, asList, asJson]) {
    if (last.ok) return last
    const complained = fieldsOf(last.issues)
    let changed = false
    for (const field of Object.keys(texts)) {
      // An issue of the whole may be about any field.
      if (!complained.has(field) && !complained.has('')) continue
      const value = reread(fields[field], texts[field] as string | readonly string[])
      if (value === undefined) continue
      fields[field] = value
      changed = true
    }
    if (!changed) continue
    last = await validate(schema, fields)
    if (!last.ok && report === first && reread === asJson) report = last
  }
  if (last.ok) return last
  // In the words of round 1, which the caller understands (nobody sent a list), but only of what is still wrong.
  const wrong = fieldsOf(last.issues)
  const issues = report.issues.filter(({ path }) => wrong.has(fieldOf(path)))
  return issues.length === 0 ? last : { ok: false, issues }
}

function fieldsOf(issues: readonly Issue[]): ReadonlySet<string> {
  return new Set(issues.map(({ path }) => fieldOf(path)))
}

function fieldOf(path: string): string {
  return path.split('.', 1)[0] as string
}

function asJson(value: unknown): unknown {
  if (!Array.isArray(value)) return fromText(value)
  const items = value.map((item) => fromText(item) ?? item)
  return items.some((item, index) => item !== value[index]) ? items : undefined
}

function asList(value: unknown, text: string | readonly string[]): unknown {
  return Array.isArray(value) || typeof text !== 'string' ? undefined : [text]
}

// Undefined where the text is nothing but text.
function fromText(value: unknown): unknown {
  if (typeof value !== 'string') return undefined
  try {
    const read = parseJson(value)
    return typeof read === 'string' ? undefined : read
  } catch {
    return undefined
  }
}
