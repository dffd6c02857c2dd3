// Users' schemas through Standard Schema (https://standardschema.dev), so zod, valibot, arktype and others all work.

/** The part of Standard Schema v1 that fairlead reads. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** Any schema that speaks Standard Schema: zod, valibot, arktype and others. */
export type AnySchema = StandardSchema<any, any>

/** What a schema says of a value. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** One complaint of a schema. */
export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What may be given to a schema. */
export type InputOf<S> = S extends {
  readonly '~standard': { readonly types?: { readonly input: infer I } | undefined }
}
  ? I
  : never
/** What a schema gives back. */
export type OutputOf<S> = S extends {
  readonly '~standard': { readonly types?: { readonly output: infer O } | undefined }
}
  ? O
  : never

/** A complaint in plain data: `path` is dotted, empty for the whole. */
export interface Issue {
  readonly path: string
  readonly message: string
}

/** Validates; a promise only where the schema itself is asynchronous, so that the common case costs none. */
export function validate<O>(schema: StandardSchema<unknown, O>, value: unknown): Validated<O> | Promise<Validated<O>> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then(plain) : plain(result)
}

/** Complaints in one line: the first, and how many there are besides. */
export function issueLine(issues: readonly Issue[]): string | undefined {
  const [first] = issues
  if (first === undefined) return undefined
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''
  return `${first.path === '' ? 'input' : first.path}: ${first.message}${more}`
}

/** The outcome of a validation. */
export type Validated<O> =
  | { readonly ok: true; readonly value: O }
  | { readonly ok: false; readonly issues: readonly Issue[] }

function plain<O>(result: StandardResult<O>): Validated<O> {
  if (result.issues === undefined) return { ok: true, value: result.value }
  return {
    ok: false,
    issues: result.issues.map((issue) => ({
      // Not `path.map`: arktype's path is an array of its own kind, whose `map` makes an item out of the length.
      path: Array.from(issue.path ?? [], (part) => String(typeof part === 'object' ? part.key : part)).join('.'),
      message: issue.message,
    })),
  }
}
