// Endpoints from files: written by configuration management, mounted as a config map, or shared by processes of one machine.
import { resolve } from 'node:path'
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import type { Source } from '../../core/contracts/source.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { FileFeed } from './file-feed.ts'
import { type FileFormat, SERVICE_LABELS } from './formats.ts'

/** Options of `fileSource`. Durations are milliseconds. */
export interface FileSourceOptions {
  /** The file. Either this or `paths`. */
  readonly path?: string | undefined
  /** Several files: what they say is taken together. Of an id that comes twice the first is taken. */
  readonly paths?: readonly string[] | undefined
  /** Default: a list is Prometheus' file_sd, anything else our own format. */
  readonly format?: FileFormat | undefined
  /** file_sd only: the label whose value is the name of the service. Default: the first there is of `service`, `__meta_service`, `job`. */
  readonly serviceLabel?: string | undefined
  /** How often the files are looked at besides, since some file systems (network, some containers) tell of no changes. Default 5000. */
  readonly pollMs?: number | undefined
  /** Changes within this time become one. Default 50. */
  readonly debounceMs?: number | undefined
  /** A larger file is an error. Default 16 MiB. */
  readonly maxBytes?: number | undefined
  /** Time. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Chance. Default: the system's. */
  readonly random?: Random | undefined
}

const OPTIONS = ['path', 'paths', 'format', 'serviceLabel', 'pollMs', 'debounceMs', 'maxBytes', 'clock', 'random']

/**
 * A source over files in Prometheus' file_sd format or our own. A change is seen at once (within `debounceMs`; a further one within a second), also when the
 * file is replaced, or reached by a link that is. A file that is missing, half-written or no JSON is an error, and what it said before stays.
 * Entries whose lease has run out (`fileRegistrar`) are left out.
 * @throws FairleadError INVALID_OPTIONS
 * @example fileSource({ path: '/etc/endpoints/services.json' })
 */
export function fileSource(options: FileSourceOptions): Source {
  knownOptions('fileSource', options, OPTIONS)
  const { format, serviceLabel } = options
  if (format !== undefined && format !== 'fairlead' && format !== 'prometheus')
    throw invalidOption('format', format, "give 'fairlead' or 'prometheus'")
  if (serviceLabel !== undefined && (typeof serviceLabel !== 'string' || serviceLabel === ''))
    throw invalidOption('serviceLabel', serviceLabel, "give the name of a label, such as 'job'")
  const feed = new FileFeed({
    paths: pathsOf(options),
    format,
    labels: serviceLabel === undefined ? SERVICE_LABELS : [serviceLabel],
    pollMs: durationOption('pollMs', options.pollMs, 5_000, 1),
    debounceMs: durationOption('debounceMs', options.debounceMs, 50, 0),
    maxBytes: countOption('maxBytes', options.maxBytes, 16 * 1024 * 1024),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  })
  return { name: 'file', watch: (service, sink) => feed.watch(service, sink) }
}

function pathsOf({ path, paths }: FileSourceOptions): readonly string[] {
  if ((path === undefined) === (paths === undefined)) throw invalidOption('path', path, 'give either path or paths')
  const all = paths ?? [path]
  if (!Array.isArray(all) || all.length === 0) throw invalidOption('paths', paths, 'give at least one path')
  for (const each of all as unknown[])
    if (typeof each !== 'string' || each === '') throw invalidOption('path', each, 'give the path of a file')
  // The working folder may change later.
  return [...new Set((all as string[]).map((each) => resolve(each)))]
}
