// The members of objects: where nearly all changes happen.
import { same } from './accepts.ts'
import type { JsonSchema } from './json-schema.ts'
import { complain, tighter, type Work } from './work.ts'

/** Compares the members of two objects. */
export function objects(writer: JsonSchema, reader: JsonSchema, path: string, work: Work): void {
  if (writer['type'] !== 'object') return
  const from = membersOf(writer)
  const to = membersOf(reader)
  const [older, newer] = work.newer === 'reader' ? [from, to] : [to, from]
  const renamed = renames(older.properties, newer.properties)
  for (const [was, is] of renamed) complain(work, `${path}.${was}`, 'renamed', `is called ${is} now`)
  const gone = new Set(renamed.keys())
  const come = new Set(renamed.values())
  for (const name of Object.keys(older.properties))
    if (!Object.hasOwn(newer.properties, name) && !gone.has(name) && newer.rest === undefined)
      complain(work, `${path}.${name}`, 'removed', 'is there no more')
  for (const name of to.required) {
    if (from.required.includes(name)) continue
    if (work.newer === 'reader') {
      if (!come.has(name))
        complain(
          work,
          `${path}.${name}`,
          'required',
          Object.hasOwn(from.properties, name) ? 'must be given now' : 'is new and must be given',
        )
    } else if (Object.hasOwn(from.properties, name) || from.rest !== undefined)
      complain(work, `${path}.${name}`, 'optional', 'need not be there any more')
  }
  for (const [name, schema] of Object.entries(from.properties)) {
    if (Object.hasOwn(to.properties, name)) work.subset(schema, to.properties[name], `${path}.${name}`, work)
    else if (to.rest !== undefined) work.subset(schema, to.rest, `${path}.${name}`, work)
    else if (to.closed && work.newer === 'writer' && !come.has(name))
      complain(work, `${path}.${name}`, 'widened', 'is new, and older readers refuse fields that they do not know')
  }
  // Whatever a writer's further members are, some of them may have names that the reader knows.
  if (from.rest !== undefined)
    for (const [name, schema] of Object.entries(to.properties))
      if (!Object.hasOwn(from.properties, name)) work.subset(from.rest, schema, `${path}.${name}`, work)
  if (from.rest !== undefined && to.rest !== undefined) work.subset(from.rest, to.rest, `${path}.*`, work)
  else if (from.rest !== undefined && to.closed) tighter(work, path, 'without other fields', 'with any fields')
  else if (to.closed && !from.closed && work.newer === 'reader')
    complain(work, path, 'narrowed', 'refuses fields that it does not know')
  else if (to.rest !== undefined && !from.closed && work.newer === 'reader')
    complain(work, path, 'narrowed', 'checks fields that it does not know, and ignored them')
  if (reader['propertyNames'] !== undefined)
    work.subset(writer['propertyNames'] ?? { type: 'string' }, reader['propertyNames'], `${path}.*`, work)
}

interface Members {
  readonly properties: Readonly<Record<string, unknown>>
  readonly required: readonly string[]
  /** The schema of further members, where there is one. */
  readonly rest: unknown
  readonly closed: boolean
}

function membersOf(schema: JsonSchema): Members {
  const { properties, required, additionalProperties: rest } = schema
  return {
    properties: (properties ?? {}) as Record<string, unknown>,
    required: Array.isArray(required) ? (required as string[]) : [],
    rest: typeof rest === 'object' && rest !== null && Object.keys(rest).length > 0 ? rest : undefined,
    closed: rest === false,
  }
}

// One that went and one that came, with the same schema: only where there is no doubt which became which.
function renames(
  older: Readonly<Record<string, unknown>>,
  newer: Readonly<Record<string, unknown>>,
): Map<string, string> {
  const gone = Object.keys(older).filter((name) => !Object.hasOwn(newer, name))
  const come = Object.keys(newer).filter((name) => !Object.hasOwn(older, name))
  const found = new Map<string, string>()
  for (const was of gone) {
    const like = come.filter((is) => same(newer[is], older[was]))
    const rivals = gone.filter((other) => same(older[other], older[was]))
    if (like.length === 1 && rivals.length === 1) found.set(was, like[0] as string)
  }
  return found
}
