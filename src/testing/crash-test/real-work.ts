// Real asynchronous work outside of a step, found in a run in which nothing is to go wrong: virtual time does not wait for it, so that leases and timeouts would end although nothing was slow.
import { createHook } from 'node:async_hooks'
import { createError } from '../../errors/classes.ts'
import { type Sites, siteText } from './sites.ts'

/** What of a run is asked for. */
export interface Watched {
  readonly sites: Sites | undefined
  /** A step says of itself that it takes real time. */
  readonly held: boolean
  /** What begins now is begun by a process of the run. Where it is not, it may be one all the same, and then `sites` know. */
  readonly acting: boolean
}

// Names that Node gives to what its `async_hooks` tell of (doc/api/async_hooks.md). What comes from elsewhere is not among them: timers, ports and sockets of a test runner, and
// `structuredClone`, which has a port of its own.
const WORK: Readonly<Record<string, string>> = {
  FSREQCALLBACK: 'a file',
  FSREQPROMISE: 'a file',
  FILEHANDLECLOSEREQ: 'a file',
  GETADDRINFOREQWRAP: 'the lookup of a name',
  GETNAMEINFOREQWRAP: 'the lookup of a name',
  QUERYWRAP: 'the lookup of a name',
  TCPCONNECTWRAP: 'a connection',
  PIPECONNECTWRAP: 'a connection',
  UDPSENDWRAP: 'a datagram',
  PROCESSWRAP: 'a child process',
  WORKER: 'a worker thread',
}

// The same names stand for calls that are done at once (`gzipSync`, `randomBytes`): those have nobody to call back.
const JOBS: Readonly<Record<string, string>> = {
  ZLIB: 'zlib',
  RANDOMBYTESREQUEST: 'crypto',
  RANDOMPRIMEREQUEST: 'crypto',
  CHECKPRIMEREQUEST: 'crypto',
  PBKDF2REQUEST: 'crypto',
  SCRYPTREQUEST: 'crypto',
  DERIVEBITSREQUEST: 'crypto',
  HASHREQUEST: 'crypto',
  CIPHERREQUEST: 'crypto',
  SIGNREQUEST: 'crypto',
  KEYGENREQUEST: 'crypto',
  KEYPAIRGENREQUEST: 'crypto',
  KEYEXPORTREQUEST: 'crypto',
}

interface Job {
  /** Whom jobs of crypto, and of zlib, call back: set where Node hands them to its threads. */
  readonly ondone?: unknown
  readonly cb?: unknown
}

/** Looks on while a run is under way. */
export class RealWork {
  readonly #world: Watched
  /** What may have been done at once. */
  readonly #jobs = new Map<number, { readonly job: Job; readonly error: Error }>()
  readonly #hook: ReturnType<typeof createHook>
  /** The first that was found. */
  found: Error | undefined

  constructor(world: Watched) {
    this.#world = world
    this.#hook = createHook({
      init: (id, type, _, resource) => this.#begun(id, type, resource),
      before: (id) => this.#calledBack(id),
    })
    this.#hook.enable()
  }

  /** Once the run is over. */
  end(): void {
    this.#hook.disable()
    for (const { job, error } of this.#jobs.values())
      if (typeof job.ondone === 'function' || typeof job.cb === 'function') this.found ??= error
    this.#jobs.clear()
  }

  #begun(id: number, type: string, resource: object): void {
    const work = WORK[type] ?? JOBS[type]
    const { held, acting, sites } = this.#world
    if (work === undefined || this.found !== undefined || held || !(acting || sites?.inside === true)) return
    const error = realWork(type, work, placeIn(sites))
    if (type in JOBS) this.#jobs.set(id, { job: resource, error })
    else this.found = error
  }

  #calledBack(id: number): void {
    // Made outside, and used by a step that says so.
    if (this.#world.held) this.#jobs.delete(id)
    else this.found ??= this.#jobs.get(id)?.error
  }
}

// What is thrown in a hook ends the process.
function placeIn(sites: Sites | undefined): string {
  try {
    const site = sites?.nearest()
    return site === undefined ? '' : ` at ${siteText(site)}`
  } catch {
    return ''
  }
}

const COMPRESSION =
  '. A message that is published is compressed above the compressAboveBytes of its channel: keep it smaller, or give Infinity there'

function realWork(type: string, work: string, at: string): Error {
  return createError({
    code: 'PROGRAMMING_ERROR',
    effect: 'none',
    message: `real work is begun outside of a step (${work}, ${type})${at}: virtual time does not wait for it, and a crash does not undo it. Wrap it: own.step(name, work, { real: true }); or say realWork: 'ignored' where nothing goes on from its answer${type === 'ZLIB' ? COMPRESSION : ''}`,
    details: { resource: type },
  })
}
