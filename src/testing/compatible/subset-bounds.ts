// The bounds of text, numbers and lists.
import { same } from './accepts.ts'
import type { JsonSchema } from './json-schema.ts'
import { tighter, type Work } from './work.ts'

const LEAST = ['minLength', 'minItems', 'minimum', 'exclusiveMinimum']
const MOST = ['maxLength', 'maxItems', 'maximum', 'exclusiveMaximum']
// The bound of the other kind that holds as well: above 0 lies within from 0.
const STRICTER: Readonly<Record<string, string>> = { minimum: 'exclusiveMinimum', maximum: 'exclusiveMaximum' }

/** Compares what bounds a value. */
export function bounds(writer: JsonSchema, reader: JsonSchema, path: string, work: Work): void {
  for (const keyword of [...LEAST, ...MOST]) {
    const allowed = reader[keyword]
    if (typeof allowed !== 'number') continue
    const least = LEAST.includes(keyword)
    const given = [writer[keyword], writer[STRICTER[keyword] ?? '']].filter((bound) => typeof bound === 'number')
    const within = given.some((bound) => (least ? bound >= allowed : bound <= allowed))
    if (!within && !(least && allowed <= 0 && keyword.startsWith('min') && keyword !== 'minimum'))
      tighter(work, path, `${keyword} ${allowed}`, given.length === 0 ? `without ${keyword}` : `${keyword} ${given[0]}`)
  }
  for (const keyword of ['pattern', 'format', 'multipleOf']) {
    const [from, to] = [writer[keyword], reader[keyword]]
    if (to === undefined || same(from, to)) continue
    // zod writes a pattern besides the format: where the formats differ, that is reported already.
    if (keyword === 'pattern' && reader['format'] !== undefined && reader['format'] !== writer['format']) continue
    if (keyword === 'pattern' && from !== undefined) work.notComparable.push({ path, why: 'two patterns' })
    else if (keyword === 'pattern' && reader['format'] !== undefined)
      work.notComparable.push({ path, why: 'a pattern besides the format' })
    else if (!(keyword === 'multipleOf' && typeof from === 'number' && from % (to as number) === 0))
      tighter(
        work,
        path,
        `${keyword} ${String(to)}`,
        from === undefined ? `without ${keyword}` : `${keyword} ${String(from)}`,
      )
  }
  if (reader['uniqueItems'] === true && writer['uniqueItems'] !== true)
    tighter(work, path, 'a list without doubles', 'a list with doubles')
  lists(writer, reader, path, work)
}

function lists(writer: JsonSchema, reader: JsonSchema, path: string, work: Work): void {
  const places = [writer, reader].map(({ prefixItems }) =>
    Array.isArray(prefixItems) ? (prefixItems as unknown[]) : [],
  )
  const [from, to] = places as [unknown[], unknown[]]
  for (let at = 0; at < Math.max(from.length, to.length); at++)
    work.subset(from[at] ?? writer['items'], to[at] ?? reader['items'], `${path}[${at}]`, work)
  if (reader['items'] !== undefined && writer['type'] === 'array' && writer['items'] !== false)
    work.subset(writer['items'], reader['items'], `${path}[]`, work)
}
