// A schema as plain data, so that it can be kept beside the code and compared after the code has changed.
import type { AnySchema } from '../../core/schema.ts'

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** Marks a part whose meaning JSON Schema cannot say; its value says why. */
export const MARK = 'x-not-comparable'

/** The checks of a value that is changed (trimmed) before one of them, in order: they are compared as they are written. */
export const OVERWRITES = 'x-changed-before-checked'

/** Makes JSON Schema of a schema, of what it takes in (`input`): that is what travels. Undefined where it cannot. */
export type ToJsonSchema = (schema: AnySchema) => JsonSchema | undefined

// Standard JSON Schema (https://standardschema.dev/json-schema), as zod and arktype have it.
interface WithJsonSchema {
  readonly '~standard': {
    readonly vendor: string
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: string; readonly libraryOptions?: unknown }) => JsonSchema
    }
  }
}

/** JSON Schema of a schema; where the library has none, or refuses, a schema that is nothing but a mark. */
export function jsonSchemaOf(schema: AnySchema, own: ToJsonSchema | undefined): JsonSchema {
  try {
    const given = own?.(schema)
    if (given !== undefined) return plain(given)
    const { vendor, jsonSchema } = (schema as unknown as WithJsonSchema)['~standard']
    if (jsonSchema === undefined)
      return { [MARK]: `${vendor} gives no JSON Schema by itself: give \`toJsonSchema\` a converter` }
    const libraryOptions = vendor === 'zod' ? { unrepresentable: 'any', override: markZod } : undefined
    const made = plain(jsonSchema.input({ target: 'draft-2020-12', libraryOptions }))
    // arktype leaves narrows out in the same silence; its own notation has them.
    return vendor === 'arktype' && /"(predicate|morphs)":/.test(JSON.stringify((schema as { json?: unknown }).json))
      ? { ...made, [MARK]: 'a narrow or a morph' }
      : made
  } catch (error) {
    return { [MARK]: error instanceof Error ? (error.message.split('\n')[0] as string) : String(error) }
  }
}

// What is kept is JSON: what JSON loses must be lost before the comparison, or nothing would equal itself.
function plain(schema: JsonSchema): JsonSchema {
  return JSON.parse(JSON.stringify(schema)) as JsonSchema
}

// What a zod schema, or one of its checks, was made of.
interface ZodDefinition {
  readonly type?: string
  readonly in?: ZodSchema
  readonly out?: ZodSchema
  readonly coerce?: boolean
  readonly checks?: readonly ZodSchema[]
  readonly check?: string
  readonly format?: string
  readonly pattern?: RegExp
  readonly fn?: unknown
  readonly tx?: unknown
  readonly hostname?: unknown
  readonly protocol?: unknown
  readonly alg?: unknown
}
interface ZodSchema {
  readonly _zod: { readonly def: ZodDefinition }
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '))

const SAYABLE = words(
  'string number boolean null object array tuple record union intersection enum literal file template_literal any unknown never optional nullable nonoptional default prefault readonly lazy int',
)

// Checks that zod writes into its JSON Schema. All others but an overwrite may refuse what the JSON Schema lets through.
const CARRIED = words(
  'less_than greater_than multiple_of number_format bigint_format max_size min_size size_equals max_length min_length length_equals string_format',
)

// zod leaves refinements out of its JSON Schema without a word: two schemas would look the same that are not.
function markZod({ zodSchema, jsonSchema }: { zodSchema: ZodSchema; jsonSchema: Record<string, unknown> }): void {
  const { def } = zodSchema._zod
  const checks = [...(def.check === undefined ? [] : [def]), ...(def.checks ?? []).map((check) => check._zod.def)]
  const why = ofType(def) ?? checks.map(ofCheck).find((found) => found !== undefined)
  if (why !== undefined) jsonSchema[MARK] = why
  // What changes a value (trim, toLowerCase) refuses none, so after the last check it says nothing about what may be sent; before one, the check is of another value.
  const last = checks.findLastIndex(({ check }) => check !== 'overwrite')
  const upToLast = checks.slice(0, last + 1)
  if (upToLast.some(({ check }) => check === 'overwrite'))
    jsonSchema[OVERWRITES] = upToLast.map(({ check, format, tx }) =>
      check === 'overwrite' ? String(tx) : (format ?? check),
    )
}

function ofType({ type = '', in: from, out: to, coerce }: ZodDefinition): string | undefined {
  // A pipe checks twice, a codec, stringbool and preprocess change what they take: JSON Schema has the first half only.
  if (type === 'pipe') return [from, to].some((end) => end?._zod.def.type === 'transform') ? 'a transform' : 'a pipe'
  if (coerce === true) return 'coerced'
  return SAYABLE.has(type) ? undefined : `of type ${type}`
}

function ofCheck({ check = '', format, pattern, fn, hostname, protocol, alg }: ZodDefinition): string | undefined {
  if (check === 'custom') return 'a refinement'
  if (check === 'overwrite') return
  if (!CARRIED.has(check)) return `a check of ${check.replace('_', ' ')}`
  if (typeof fn === 'function' && pattern === undefined) return `the format ${format}, which is a function`
  if (/[ims]/.test(pattern?.flags ?? '')) return `a pattern with the flags ${pattern?.flags}`
  return hostname === undefined && protocol === undefined && alg === undefined ? undefined : `a ${format} of some only`
}
