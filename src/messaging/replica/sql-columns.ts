// How values of an entry stand in columns: each kind says its type in TypeScript and how it is written and read, alike in every database.
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'

/** What a column holds. With a question mark it may be null. `json`: anything that JSON can say, in a column for JSON or text. */
export type ColumnKind =
  | 'text'
  | 'text?'
  | 'number'
  | 'number?'
  | 'bigint'
  | 'bigint?'
  | 'boolean'
  | 'boolean?'
  | 'bytes'
  | 'bytes?'
  | 'json'

/** A column: its kind, and its name where that is another one than the property's. */
export type ColumnSpec = ColumnKind | { readonly column: string; readonly as: ColumnKind }

interface Types {
  readonly text: string
  readonly number: number
  readonly bigint: bigint
  readonly boolean: boolean
  readonly bytes: Uint8Array
}

type TypeOf<K> = K extends 'json'
  ? any
  : K extends keyof Types
    ? Types[K]
    : K extends `${infer B extends keyof Types}?`
      ? Types[B] | null
      : never

/** The value of an entry, as its columns say. */
export type ValueOfColumns<C extends Readonly<Record<string, ColumnSpec>>> = {
  [P in keyof C]: C[P] extends { readonly as: infer K } ? TypeOf<K> : TypeOf<C[P]>
}

/** A column, checked. */
export interface Column {
  readonly property: string
  readonly name: string
  readonly kind: string
  readonly nullable: boolean
}

const KINDS: readonly string[] = ['text', 'number', 'bigint', 'boolean', 'bytes']

/** @throws FairleadError `INVALID_OPTIONS` */
export function columnsOf(columns: Readonly<Record<string, ColumnSpec>>): readonly Column[] {
  if (typeof columns !== 'object' || columns === null || Object.keys(columns).length === 0)
    throw invalidOption('columns', columns, "give { name: 'text', ... }")
  return Object.entries(columns).map(([property, spec]) => {
    const { column = property, as } = typeof spec === 'string' ? { as: spec } : spec
    const nullable = as.endsWith('?')
    const kind = nullable ? as.slice(0, -1) : as
    if (as !== 'json' && !KINDS.includes(kind))
      throw invalidOption(
        `columns.${property}`,
        as,
        `give json, or one of ${KINDS.join(', ')}, with ? where it may be null`,
      )
    return { property, name: column, kind, nullable: nullable || as === 'json' }
  })
}

/** As a parameter. @throws FairleadError `MESSAGE_INVALID` for a value of another kind */
export function parameterOf({ property, kind, nullable }: Column, value: unknown): unknown {
  if (kind === 'json') return value === undefined || value === null ? null : JSON.stringify(value)
  if ((value === null || value === undefined) && nullable) return null
  if (isOf(kind, value)) return value
  throw createError({
    code: 'MESSAGE_INVALID',
    message: `${property} is ${value === null ? 'null' : typeof value}, and its column holds ${kind}`,
    details: { issues: [{ path: ['value', property], message: `no ${kind}` }] },
  })
}

/** As the user sees it. */
export function shownOf({ kind }: Column, raw: unknown): unknown {
  if (raw === null || raw === undefined) return null
  switch (kind) {
    case 'json':
      return JSON.parse(raw as string) as unknown
    case 'number':
      return Number(raw)
    case 'bigint':
      return BigInt(raw as string)
    case 'boolean':
      return typeof raw === 'boolean' ? raw : Number(raw) !== 0
    default:
      return raw
  }
}

function isOf(kind: string, value: unknown): boolean {
  return kind === 'bytes' ? value instanceof Uint8Array : typeof value === (kind === 'text' ? 'string' : kind)
}
