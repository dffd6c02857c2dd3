// A log in files: what was accepted is on the disk, and is there again after the process was killed.
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, realpath, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../core/clock.ts'
import { closable } from '../../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { isTopic } from './feed-options.ts'
import { FileTopic, type FileTopicSettings } from './file-topic.ts'
import { Listeners } from './listeners.ts'
import { type FeedLog, type FeedRetention, logClosed } from './log.ts'

/** Options of `fileFeedLog`. */
export interface FileFeedLogOptions extends FeedRetention {
  /** A folder for this log alone; it is made if it is not there. */
  readonly folder: string
  /** How many events of each topic are kept; about 150 bytes of memory are needed for each. Default 1,000,000. */
  readonly maxCount?: number | undefined
  /** Where a file is as large, the next one is begun. Files are deleted as a whole, once nothing in them is to be kept. Default 16 MiB. */
  readonly segmentBytes?: number | undefined
  readonly clock?: Clock | undefined
}

const LOCK = 'lock'
const MINE = Symbol.for('fairlead.http-feed.folders')
const GENERATION = 'generation'

/**
 * A log in files: for each topic a folder, in it files with one JSON line an event. `append` resolves once the lines are synced to the disk
 * (one sync for all that waits); an unfinished line that a crash has left is cut off when the log is opened again. One process at a time: a lock
 * keeps others out, and that of a process which is gone is taken over. Copying the folder while nobody writes is a backup.
 * @throws FairleadError `INVALID_OPTIONS`, also for a folder that another process has; `MESSAGE_UNDECODABLE` for a file that is damaged
 * @example createFeed({ log: await fileFeedLog({ folder: '/var/lib/orders/feed' }) })
 */
export async function fileFeedLog(options: FileFeedLogOptions): Promise<FeedLog> {
  knownOptions('fileFeedLog', options, ['folder', 'maxCount', 'maxAgeMs', 'segmentBytes', 'clock'])
  const { folder, clock = systemClock, maxAgeMs } = options
  if (typeof folder !== 'string' || folder === '') throw invalidOption('folder', folder, 'give the path of a folder')
  const listeners = new Listeners<string>()
  const retention: FeedRetention = {
    maxCount: countOption('maxCount', options.maxCount, 1_000_000),
    maxAgeMs: maxAgeMs === undefined ? undefined : durationOption('maxAgeMs', maxAgeMs, Infinity),
  }
  const settings: FileTopicSettings = {
    retention,
    segmentBytes: countOption('segmentBytes', options.segmentBytes, 16 * 2 ** 20),
    clock,
    onAppended: (topic) => listeners.tell(topic),
  }
  await mkdir(folder, { recursive: true })
  const unlock = await lock(folder)
  const topics = new Map<string, Promise<FileTopic>>()
  const opened = new Map<string, FileTopic>()
  const parent = join(folder, 'topics')
  let generation: string
  const topicOf = (name: string): Promise<FileTopic> => {
    let topic = topics.get(name)
    if (topic === undefined) {
      topic = FileTopic.open(name, parent, settings)
      topics.set(name, topic)
      topic.then(
        (made) => opened.set(name, made),
        () => topics.delete(name),
      )
    }
    return topic
  }
  try {
    generation = await generationOf(folder)
    await mkdir(parent, { recursive: true })
    for (const name of await readdir(parent)) if (isTopic(name)) await topicOf(name)
  } catch (error) {
    await unlock()
    throw error
  }
  let closed = false
  const { close } = closable(async () => {
    closed = true
    for (const topic of topics.values()) await (await topic).close()
    await unlock()
  })
  return {
    persistent: true,
    acknowledged: 'disk',
    generation,
    retention,
    async create(topic) {
      if (closed) throw logClosed()
      await topicOf(topic)
    },
    bounds: (topic) => opened.get(topic)?.bounds(),
    async append(topic, events) {
      if (closed) throw logClosed()
      await (opened.get(topic) ?? (await topicOf(topic))).append(events)
    },
    read: async (topic, from, limit, maxLength) => (await opened.get(topic)?.read(from, limit, maxLength)) ?? [],
    timeOf: async (topic, sequence) => opened.get(topic)?.timeOf(sequence),
    since: async (topic, time) => opened.get(topic)?.since(time) ?? 1,
    onAppended: (listener) => listeners.add(listener),
    close,
  }
}

// Kept for good: positions of this log stay valid, and those of one that was begun anew in its place do not.
async function generationOf(folder: string): Promise<string> {
  const path = join(folder, GENERATION)
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const generation = randomUUID().slice(0, 8)
  const made = `${path}.new`
  const file = await open(made, 'w')
  try {
    await file.writeFile(`${generation}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(made, path)
  return generation
}

// The lock tells processes apart, and this the logs of one process: in a container every process may have the number of the one before it.
function mine(): Set<string> {
  const shared = globalThis as { [MINE]?: Set<string> }
  return (shared[MINE] ??= new Set())
}

async function lock(folder: string): Promise<() => Promise<void>> {
  const path = join(await realpath(folder), LOCK)
  for (let tries = 0; ; tries++) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      mine().add(path)
      return async () => {
        mine().delete(path)
        await unlink(path).catch(() => {})
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''))
    if (tries > 0 || (holder === process.pid ? mine().has(path) : isAlive(holder)))
      throw invalidOption('folder', folder, `process ${holder} has it; if that is no fairlead feed, remove ${path}`)
    await unlink(path).catch(() => {})
  }
}

function isAlive(pid: number): boolean {
  // An empty file: somebody was killed while making it.
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
