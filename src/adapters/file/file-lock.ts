// Several processes change one file: one at a time, by a lock file that a dead one cannot hold for ever.
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { type Clock, type Random, sleep } from '../../core/clock.ts'

/** How a lock is waited for. */
export interface FileLockOptions {
  /** The lock file. */
  readonly path: string
  /** Never the same twice: says whose lock it is. */
  readonly token: string
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
}

/** A lock that is seen with the same holder for so long is a dead process's. The work under it takes milliseconds. */
export const LOCK_STALE_MS = 3_000
const PAUSE_MS = 20

/**
 * Does some work under the lock. `held` says whether the lock is still ours: a process that was stopped for long has lost it.
 * Rejects with the signal's reason when the lock is not had in time.
 */
export async function withFileLock<T>(
  options: FileLockOptions,
  work: (held: () => Promise<boolean>) => Promise<T>,
): Promise<T> {
  const { path, token } = options
  await take(options)
  const held = async (): Promise<boolean> => (await holderOf(path)) === token
  try {
    return await work(held)
  } finally {
    if (await held()) await rm(path, { force: true })
  }
}

async function take({ path, token, clock, random, signal }: FileLockOptions): Promise<void> {
  let holder: string | undefined
  let since = clock.now()
  for (;;) {
    signal.throwIfAborted()
    try {
      return await writeFile(path, token, { flag: 'wx' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const seen = await holderOf(path)
    // Judged by our own watching, not by dates: clocks of machines that share a folder differ.
    if (seen !== holder) {
      holder = seen
      since = clock.now()
    } else if (seen !== undefined && clock.now() - since >= LOCK_STALE_MS) {
      await breakOpen(path, token, seen)
      continue
    }
    await sleep(clock, PAUSE_MS * (0.5 + random()), signal)
  }
}

// Another who waits may have broken it and taken it since: then it is put back.
async function breakOpen(path: string, token: string, holder: string): Promise<void> {
  const aside = `${path}.${token}`
  try {
    await rename(path, aside)
    if ((await holderOf(aside)) !== holder) await link(aside, path)
  } catch {
    // It is gone, or taken again: the next try tells.
  } finally {
    await rm(aside, { force: true })
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    return undefined
  }
}
