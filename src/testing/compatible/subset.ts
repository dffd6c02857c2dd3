// Whether everything that one JSON Schema lets through is accepted by another: the writer's schema against the reader's.
import { accepts, same } from './accepts.ts'
import { type JsonSchema, MARK, OVERWRITES } from './json-schema.ts'
import { bounds } from './subset-bounds.ts'
import { objects } from './subset-objects.ts'
import { complain, type Newer, tighter, type Work } from './work.ts'

/** Compares a writer's schema with a reader's. */
export function compareSchemas(writer: JsonSchema, reader: JsonSchema, path: string, newer: Newer): Work {
  const work: Work = {
    newer,
    writerRoot: writer,
    readerRoot: reader,
    breaks: [],
    notComparable: [],
    seen: new Set(['#|#']),
    subset,
  }
  subset(writer, reader, path, work)
  return work
}

const COMPARED = new Set(
  'type const enum anyOf oneOf allOf $ref properties required additionalProperties propertyNames items prefixItems minItems maxItems uniqueItems minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf'.split(
    ' ',
  ),
)
const WORDS_ONLY = new Set(
  'title description default examples deprecated readOnly writeOnly $schema $id $defs definitions $comment id contentEncoding contentMediaType'.split(
    ' ',
  ),
)

// Compares two schemas at one place; findings go to `work`.
function subset(writerGiven: unknown, readerGiven: unknown, path: string, work: Work): void {
  const pair = `${reference(writerGiven)}|${reference(readerGiven)}`
  if (pair !== '|' && work.seen.has(`${pair}`)) return
  const inner: Work = pair === '|' ? work : { ...work, seen: new Set([...work.seen, pair]) }
  const writer = resolve(writerGiven, work.writerRoot)
  const reader = resolve(readerGiven, work.readerRoot)
  if (writer === undefined || reader === undefined) {
    work.notComparable.push({ path, why: 'it refers to a schema that is not there' })
    return
  }
  for (const marked of [writer, reader])
    if (MARK in marked && !work.notComparable.some((one) => one.path === path))
      work.notComparable.push({ path, why: String(marked[MARK]) })
  if (!same(writer[OVERWRITES], reader[OVERWRITES]))
    work.notComparable.push({ path, why: 'what changes a value before it is checked differs' })
  const opaque = (schema: JsonSchema): boolean => MARK in schema && keywords(schema).length === 0
  if (opaque(writer) || opaque(reader)) return
  if (
    same(writer, reader) &&
    pair === '|' &&
    !JSON.stringify(writer).includes('"$ref"') &&
    !JSON.stringify(writer).includes(MARK)
  )
    return
  compare(writer, reader, path, inner)
}

function compare(writer: JsonSchema, reader: JsonSchema, path: string, work: Work): void {
  const alternatives = alternativesOf(writer)
  if (alternatives !== undefined) {
    // Where both have them in step, names and messages are better one by one.
    for (const one of alternatives) subset(one, reader, path, work)
    return
  }
  if (Array.isArray(reader['allOf'])) for (const one of reader['allOf']) subset(writer, one, path, work)
  const choices = alternativesOf(reader)
  if (choices !== undefined) {
    oneOfThem(writer, choices, path, work)
    return
  }
  const values = valuesOf(writer)
  if (values !== undefined) {
    const doubts = new Set<string>()
    const refused = values.filter((value) => !accepts(reader, value, (why) => doubts.add(why)))
    for (const why of doubts) work.notComparable.push({ path, why })
    if (refused.length > 0) tighter(work, path, shown(reader), refused.map((value) => JSON.stringify(value)).join(', '))
    return
  }
  const allowed = valuesOf(reader)
  if (allowed !== undefined) {
    tighter(work, path, shown(reader), shown(writer))
    return
  }
  if (Array.isArray(writer['allOf'])) {
    if (!same(writer['allOf'], reader['allOf'])) work.notComparable.push({ path, why: 'an intersection' })
    return
  }
  const [from, to] = [writer['type'], reader['type']]
  if (to !== undefined && from !== to && !(from === 'integer' && to === 'number')) {
    if (from === undefined || (from === 'number' && to === 'integer')) tighter(work, path, shown(reader), shown(writer))
    else if (work.newer === 'reader') complain(work, path, 'changed', `is ${shown(reader)}, was ${shown(writer)}`)
    else complain(work, path, 'changed', `is ${shown(writer)}, was ${shown(reader)}`)
    return
  }
  bounds(writer, reader, path, work)
  objects(writer, reader, path, work)
  for (const keyword of new Set([...keywords(writer), ...keywords(reader)]))
    if (!COMPARED.has(keyword) && !same(writer[keyword], reader[keyword]))
      work.notComparable.push({ path, why: `${keyword} differs` })
}

function oneOfThem(writer: JsonSchema, choices: readonly JsonSchema[], path: string, work: Work): void {
  let best: Work | undefined
  for (const choice of choices) {
    const attempt: Work = { ...work, breaks: [], notComparable: [] }
    subset(writer, choice, path, attempt)
    if (attempt.breaks.length === 0) {
      work.notComparable.push(...attempt.notComparable)
      return
    }
    if (best === undefined || distance(attempt, path) < distance(best, path)) best = attempt
  }
  // The nearest alternative tells most: one field of it, rather than "none of these".
  if (best?.breaks.every((change) => change.path !== path)) {
    work.breaks.push(...best.breaks)
    work.notComparable.push(...best.notComparable)
  } else tighter(work, path, choices.map(shown).join(' or '), shown(writer))
}

function distance({ breaks }: Work, path: string): number {
  return breaks.length + (breaks.some((change) => change.path === path) ? 1_000 : 0)
}

function keywords(schema: JsonSchema): readonly string[] {
  return Object.keys(schema).filter((name) => !WORDS_ONLY.has(name) && !name.startsWith('x-'))
}

function reference(schema: unknown): string {
  const ref = typeof schema === 'object' && schema !== null ? (schema as JsonSchema)['$ref'] : undefined
  return typeof ref === 'string' ? ref : ''
}

function resolve(schema: unknown, root: JsonSchema, depth = 0): JsonSchema | undefined {
  if (schema === true || schema === undefined) return {}
  if (schema === false) return { not: {} }
  const ref = reference(schema)
  if (ref === '' || depth > 20) return schema as JsonSchema
  if (!ref.startsWith('#')) return undefined
  let found: unknown = root
  for (const part of ref
    .slice(1)
    .split('/')
    .filter((each) => each !== ''))
    found = (found as Record<string, unknown> | undefined)?.[
      decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
    ]
  return found === undefined ? undefined : resolve(found, root, depth + 1)
}

// `type: [a, b]` is short for alternatives.
function alternativesOf(schema: JsonSchema): readonly JsonSchema[] | undefined {
  for (const keyword of ['anyOf', 'oneOf']) {
    const { [keyword]: list, ...rest } = schema
    if (Array.isArray(list)) return keywords(rest).length === 0 ? list : list.map((one) => ({ ...rest, ...one }))
  }
  const { type, ...rest } = schema
  return Array.isArray(type) ? type.map((one) => ({ ...rest, type: one })) : undefined
}

function valuesOf(schema: JsonSchema): readonly unknown[] | undefined {
  if ('const' in schema) return [schema['const']]
  return Array.isArray(schema['enum']) ? schema['enum'] : undefined
}

// A schema in a word or two.
function shown(schema: JsonSchema): string {
  const values = valuesOf(schema)
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' or ')
  if ('not' in schema) return 'refused'
  const type = schema['type'] === undefined ? 'anything' : [schema['type']].flat().join(' or ')
  return typeof schema['format'] === 'string' ? `${type} (${schema['format']})` : type
}
