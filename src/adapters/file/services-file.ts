// The file that registrars share: read, changed and replaced as a whole under its lock, so that readers never see half of it.
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import type { Clock, Random } from '../../core/clock.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { withFileLock } from './file-lock.ts'
import { parse, readLease, servicesOf } from './formats.ts'

/** Entries of one service, as they are in the file. */
export type Entries = readonly unknown[]

/** How the file is reached. */
export interface ServicesFileOptions {
  readonly path: string
  readonly clock: Clock
  readonly random: Random
  /** A new text each time: names of temporary files and locks. */
  readonly token: () => string
}

/** The file in our own format. */
export class ServicesFile {
  readonly #options: ServicesFileOptions
  #tail: Promise<unknown> = Promise.resolve()

  constructor(options: ServicesFileOptions) {
    this.#options = options
  }

  /**
   * Changes the entries of one service; `undefined` leaves the file alone. Entries of any service whose lease has run out are dropped on the way.
   * What others have written, by hand too, stays as it is. A file that cannot be read is an error and is not written over.
   */
  change<T>(
    service: string,
    signal: AbortSignal,
    work: (entries: Entries) => { readonly entries: Entries | undefined; readonly result: T },
  ): Promise<T> {
    // Within the process in turn, so that its registrations do not wait for each other's lock file.
    const turn = this.#tail
      .then(() => this.#change(service, signal, work))
      .catch((cause: unknown) => {
        throw this.#named(cause)
      })
    this.#tail = turn.catch(() => {})
    return turn
  }

  async #change<T>(
    service: string,
    signal: AbortSignal,
    work: (entries: Entries) => { readonly entries: Entries | undefined; readonly result: T },
  ): Promise<T> {
    const { clock, random, token } = this.#options
    const path = await this.#target()
    const mine = token()
    return withFileLock({ path: `${path}.lock`, token: mine, clock, random, signal }, async (held) => {
      const { document, services } = await this.#read(path)
      const { entries, result } = work(services.get(service) ?? [])
      if (entries === undefined) return result
      services.set(service, entries)
      const now = clock.wallNow()
      const kept = [...services].map(([name, all]) => [name, all.filter((each) => isAlive(each, now))] as const)
      await this.#replace(path, { ...document, services: Object.fromEntries(kept) }, mine, held)
      return result
    })
  }

  #named(cause: unknown): unknown {
    if (isFairleadError(cause)) return cause
    const why = cause instanceof Error ? cause.message : String(cause)
    return createError({
      code: 'UNAVAILABLE',
      message: `${this.#options.path} cannot be changed: ${why}`,
      cause,
      stack: false,
    })
  }

  // A link stays a link: what it leads to is replaced.
  async #target(): Promise<string> {
    try {
      return await realpath(this.#options.path)
    } catch {
      return this.#options.path
    }
  }

  async #read(path: string): Promise<{ readonly document: object; readonly services: Map<string, Entries> }> {
    let text: string
    try {
      text = await readFile(path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return { document: {}, services: new Map() }
    }
    // One that is empty is just being written by somebody: it is unreadable, not new.
    try {
      const document = parse(text)
      return { document: document as object, services: new Map(servicesOf(document)) }
    } catch (cause) {
      throw createError({
        code: 'REPLY_UNDECODABLE',
        message: `${path} cannot be read, so it is not written over: ${(cause as Error).message}`,
        cause,
        stack: false,
      })
    }
  }

  async #replace(path: string, document: object, token: string, held: () => Promise<boolean>): Promise<void> {
    const fresh = `${path}.${token}.new`
    try {
      const file = await open(fresh, 'wx')
      try {
        // Who may read it, and who may not, stays as it was.
        const mode = await modeOf(path)
        if (mode !== undefined) await file.chmod(mode)
        await file.writeFile(`${JSON.stringify(document, null, 2)}\n`)
        await file.sync()
      } finally {
        await file.close()
      }
      if (!(await held()))
        throw createError({ code: 'LEASE_LOST', message: `the lock of ${path} was taken over`, stack: false })
      await rename(fresh, path)
    } finally {
      await rm(fresh, { force: true })
    }
  }
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o7777
  } catch {
    return undefined
  }
}

function isAlive(entry: unknown, now: number): boolean {
  const lease = readLease(entry)
  return lease === undefined || lease.until > now
}
