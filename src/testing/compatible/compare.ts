// What of a release is broken by its successor.
import { invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { same } from './accepts.ts'
import type { Change, Comparison, Incomparable } from './changes.ts'
import type { JsonSchema } from './json-schema.ts'
import {
  type ChannelRelease,
  type ContractRelease,
  type Releasable,
  type Release,
  type ReleaseOptions,
  releaseOf,
} from './release.ts'
import { compareSchemas } from './subset.ts'
import type { Newer } from './work.ts'

/** How two releases are compared. */
export interface CompatibleOptions extends ReleaseOptions {
  /**
   * Paths, as they are reported, that somebody has looked at and found good: they are not reported any more, and neither is what lies below them.
   * One at which nothing is found any more has had its day: it would hide the next change there, so `assertCompatible` refuses it. Default: none.
   */
  readonly reviewed?: readonly string[] | undefined
}

/**
 * Compares what was released with what is about to be. Requests are read by newer services (they must still be accepted), replies and declared failures by
 * older callers (they must still be understood), messages both ways: older ones wait in queues, newer ones reach older consumers.
 * A newer version of a message type reads older ones through its upcasters; then only the way to older consumers is compared.
 * @throws FairleadError `INVALID_OPTIONS` for what is neither, and for a list of reviewed paths that is none
 */
export function compareReleases(
  older: Releasable | Release,
  newer: Releasable | Release,
  options: CompatibleOptions = {},
): Comparison {
  knownOptions('options', options, ['toJsonSchema', 'reviewed'])
  const reviewed = options.reviewed ?? []
  if (!Array.isArray(reviewed) || !reviewed.every((one) => typeof one === 'string'))
    throw invalidOption('reviewed', reviewed, 'give a list of paths, as they are reported')
  const was = asRelease('older', older, options)
  const is = asRelease('newer', newer, options)
  const breaks: Change[] = []
  const notComparable: Incomparable[] = []
  const schemas = (writer: JsonSchema | null, reader: JsonSchema | null, path: string, side: Newer): void => {
    if (writer === null && reader === null) return
    if (writer === null || reader === null) {
      const [before, now] = side === 'reader' ? [writer, reader] : [reader, writer]
      if (now === null) breaks.push({ path, kind: 'removed', what: 'is there no more' })
      else if (before === null && side === 'reader')
        breaks.push({ path, kind: 'required', what: 'is new and must be given' })
      return
    }
    const found = compareSchemas(writer, reader, path, side)
    breaks.push(...found.breaks)
    notComparable.push(...found.notComparable)
  }
  if (was.kind === 'contract' && is.kind === 'contract') contracts(was, is, breaks, schemas)
  else if (was.kind !== 'contract' && is.kind !== 'contract') channels(was, is, breaks, schemas)
  else breaks.push({ path: 'kind', kind: 'changed', what: `is a ${is.kind}, was a ${was.kind}` })
  const covers = (one: string, path: string): boolean =>
    path === one || path.startsWith(`${one}.`) || path.startsWith(`${one}[`)
  const open = ({ path }: { readonly path: string }): boolean => !reviewed.some((one) => covers(one, path))
  const found = [...breaks, ...notComparable]
  return {
    breaks: unique(breaks).filter(open),
    notComparable: unique(notComparable).filter(open),
    reviewedForNothing: reviewed.filter((one) => !found.some(({ path }) => covers(one, path))),
  }
}

/**
 * Fails a build that breaks what was released.
 * @throws FairleadError `INCOMPATIBLE`: every break with its path, and every part that cannot be compared (a transform, a refinement) and nobody has reviewed;
 *   `details` has them as data. `INVALID_OPTIONS` for what is no contract, channel or release, and for `reviewed` paths at which nothing was found (misspelt, or settled since)
 * @example test('no caller breaks', () => assertCompatible(JSON.parse(readFileSync('inventory.release.json', 'utf8')), Inventory))
 */
export function assertCompatible(
  older: Releasable | Release,
  newer: Releasable | Release,
  options: CompatibleOptions = {},
): void {
  const { breaks, notComparable, reviewedForNothing } = compareReleases(older, newer, options)
  const idle = reviewedForNothing.join(', ')
  if (breaks.length === 0 && notComparable.length === 0) {
    if (idle !== '')
      throw invalidOption('reviewed', idle, 'nothing is reported at these paths: correct them, or take them out')
    return
  }
  const lines = [
    ...breaks.map(({ path, kind, what }) => `  ${path}: ${kind}: ${what}`),
    ...notComparable.map(({ path, why }) => `  ${path}: not comparable: ${why}`),
    ...reviewedForNothing.map((path) => `  ${path}: reviewed, but nothing is found there`),
  ]
  const hint =
    notComparable.length === 0 ? '' : '\nWhat is not comparable: look at it, then name its path in `reviewed`.'
  throw createError({
    code: 'INCOMPATIBLE',
    message: `${breaks.length} broken, ${notComparable.length} not comparable:\n${lines.join('\n')}${hint}`,
    details: { changes: breaks, notComparable, reviewedForNothing },
  })
}

type Schemas = (writer: JsonSchema | null, reader: JsonSchema | null, path: string, side: Newer) => void

function contracts(was: ContractRelease, is: ContractRelease, breaks: Change[], schemas: Schemas): void {
  if (was.service !== is.service) breaks.push({ path: 'service', kind: 'renamed', what: `is called ${is.service} now` })
  for (const [name, old] of Object.entries(was.operations)) {
    const path = `operations.${name}`
    const now = is.operations[name]
    if (now === undefined) {
      const twin = Object.keys(is.operations).find(
        (other) => !Object.hasOwn(was.operations, other) && same(is.operations[other], old),
      )
      breaks.push(
        twin === undefined
          ? { path, kind: 'removed', what: 'the operation is gone' }
          : { path, kind: 'renamed', what: `is called ${twin} now` },
      )
      continue
    }
    if (old.http !== now.http)
      breaks.push({ path: `${path}.http`, kind: 'changed', what: `is ${now.http}, was ${old.http}` })
    if (old.streaming !== now.streaming)
      breaks.push({ path: `${path}.streaming`, kind: 'changed', what: `is ${now.streaming}, was ${old.streaming}` })
    if (old.idempotent && !now.idempotent)
      breaks.push({
        path: `${path}.idempotent`,
        kind: 'narrowed',
        what: 'callers repeat it, and it may not be run twice any more',
      })
    schemas(old.input, now.input, `${path}.input`, 'reader')
    schemas(now.output, old.output, `${path}.output`, 'writer')
    failures(old.failures, now.failures, path, breaks, schemas)
  }
}

type Failures = Readonly<Record<string, JsonSchema>>

function failures(was: Failures, is: Failures, path: string, breaks: Change[], schemas: Schemas): void {
  for (const [failure, schema] of Object.entries(is))
    if (was[failure] === undefined)
      breaks.push({
        path: `${path}.failures.${failure}`,
        kind: 'widened',
        what: 'is a failure that older callers do not know',
      })
    else schemas(schema, was[failure] ?? null, `${path}.failures.${failure}`, 'writer')
}

function channels(was: ChannelRelease, is: ChannelRelease, breaks: Change[], schemas: Schemas): void {
  if (was.kind !== is.kind) breaks.push({ path: 'kind', kind: 'changed', what: `is a ${is.kind}, was a ${was.kind}` })
  if (was.name !== is.name) breaks.push({ path: 'name', kind: 'renamed', what: `is called ${is.name} now` })
  if (was.contentType !== is.contentType)
    breaks.push({ path: 'contentType', kind: 'changed', what: `is ${is.contentType}, was ${was.contentType}` })
  const come = new Set(Object.keys(is.types).filter((type) => !Object.hasOwn(was.types, type)))
  for (const [type, old] of Object.entries(was.types)) {
    const path = `types.${type}`
    const now = is.types[type]
    if (now === undefined) {
      const twin = [...come].find((other) => same(is.types[other], old))
      if (twin === undefined) breaks.push({ path, kind: 'removed', what: 'the type is gone' })
      else {
        breaks.push({ path, kind: 'renamed', what: `is called ${twin} now` })
        come.delete(twin)
      }
      continue
    }
    if (now.version < old.version)
      breaks.push({ path: `${path}.version`, kind: 'changed', what: `is ${now.version}, was ${old.version}` })
    if (now.version === old.version) schemas(old.schema, now.schema, path, 'reader')
    schemas(now.schema, old.schema, path, 'writer')
    if (old.reply === undefined) continue
    // Older requesters read what newer responders answer.
    schemas(now.reply ?? null, old.reply, `${path}.reply`, 'writer')
    if (now.reply !== undefined) failures(old.failures ?? {}, now.failures ?? {}, path, breaks, schemas)
  }
  for (const type of come)
    breaks.push({
      path: `types.${type}`,
      kind: 'widened',
      what: 'is a type that older consumers do not know: a dead letter to them, unless their `unknownType` says otherwise',
    })
}

function asRelease(side: string, given: Releasable | Release, options: ReleaseOptions): Release {
  if (typeof given === 'object' && given !== null) {
    if ('codec' in given || ('service' in given && !('kind' in given))) return releaseOf(given as Releasable, options)
    if (
      'kind' in given &&
      ['contract', 'queue', 'topic'].includes(given.kind) &&
      ('operations' in given || 'types' in given)
    )
      return given
  }
  throw invalidOption(side, given, 'give a contract, a channel, or what releaseOf() made of one')
}

// The two ways of a message find the same thing twice.
function unique<T extends { readonly path: string }>(findings: readonly T[]): readonly T[] {
  return findings.filter((one, at) => findings.findIndex((other) => same(one, other)) === at)
}
