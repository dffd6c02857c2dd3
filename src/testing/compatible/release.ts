// What was released, as plain data: the part of a contract or a channel that others have come to rely on.
import type { AnySchema } from '../../core/schema.ts'
import type { Channel } from '../../messaging/types.ts'
import type { Contract, FailureDefinition } from '../../rpi/types.ts'
import { type JsonSchema, jsonSchemaOf, type ToJsonSchema } from './json-schema.ts'

/** One operation of a released contract. `null`: it takes or gives nothing. */
export interface ReleasedOperation {
  readonly http: string
  readonly idempotent: boolean
  readonly streaming: string
  readonly input: JsonSchema | null
  readonly output: JsonSchema | null
  readonly failures: Readonly<Record<string, JsonSchema>>
}

/** A released contract. */
export interface ContractRelease {
  readonly kind: 'contract'
  readonly service: string
  readonly operations: Readonly<Record<string, ReleasedOperation>>
}

/** A released channel. */
export interface ChannelRelease {
  readonly kind: 'queue' | 'topic'
  readonly name: string
  readonly contentType: string
  readonly types: Readonly<Record<string, ReleasedType>>
}

/** One type of message of a released channel. */
export interface ReleasedType {
  readonly version: number
  readonly schema: JsonSchema
  /** Of a request. */
  readonly reply?: JsonSchema | undefined
  /** Of a request that declares some. */
  readonly failures?: Readonly<Record<string, JsonSchema>> | undefined
}

/** What can be kept in a file beside the code, as JSON. */
export type Release = ContractRelease | ChannelRelease

/** What a release is made from. */
export type Releasable = Contract<any> | Channel<any>

/** How a release is made. */
export interface ReleaseOptions {
  /** For schema libraries that give no JSON Schema by themselves (valibot: `toJsonSchema` of @valibot/to-json-schema with `typeMode: 'input'`). */
  readonly toJsonSchema?: ToJsonSchema | undefined
}

/**
 * Makes plain data of a contract or a channel: write it to a file when you release, and hold the next version against it.
 * @example writeFileSync('orders.release.json', JSON.stringify(releaseOf(Orders), null, 2))
 */
export function releaseOf(released: Releasable, options: ReleaseOptions = {}): Release {
  const json = (schema: AnySchema | undefined): JsonSchema | null =>
    schema === undefined ? null : jsonSchemaOf(schema, options.toJsonSchema)
  if ('service' in released)
    return {
      kind: 'contract',
      service: released.service,
      operations: mapped(
        released.operations as Contract['operations'],
        ({ definition, bindings, idempotent, streaming }) => ({
          http: routeText(bindings['http'] as { method: string; path: string; query: readonly string[] }),
          idempotent,
          streaming,
          input: json(definition.input),
          output: json(definition.output),
          failures: mapped(definition.failures ?? {}, (failure) => json(failureSchema(failure)) as JsonSchema),
        }),
      ),
    }
  return {
    kind: released.kind,
    name: released.name,
    contentType: released.codec.contentType,
    types: mapped(
      released.types as Channel['types'],
      ({ schema, version, reply, failures }): ReleasedType => ({
        version,
        schema: json(schema) as JsonSchema,
        ...(reply === undefined ? {} : { reply: json(reply) as JsonSchema }),
        ...(failures === undefined ? {} : { failures: mapped(failures, (failure) => json(failure) as JsonSchema) }),
      }),
    ),
  }
}

function routeText({ method, path, query }: { method: string; path: string; query: readonly string[] }): string {
  return `${method} ${path}${query.length === 0 || method === 'GET' ? '' : `?${query.join('&')}`}`
}

function failureSchema(failure: FailureDefinition): AnySchema {
  return 'schema' in failure && !('~standard' in failure) ? failure.schema : (failure as AnySchema)
}

function mapped<V, W>(record: Readonly<Record<string, V>>, change: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}
