// Where in the user's code a fault struck. Looked for only in the run that is told, for it costs a stack a step.
import { AsyncLocalStorage } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Fault } from './schedule.ts'

/** A place in the user's code. */
export interface Site {
  /** Absolute. */
  readonly file: string
  readonly line: number
  readonly column: number
  /** The function, where it has a name. */
  readonly name: string | undefined
  /** False: fairlead was at work by itself, and this is what had it begin. */
  readonly direct: boolean
}

// A path may have parentheses in it; `:1:1)` ends one, as where code was made by eval.
const FRAME = /^\s*at (?:async )?(?:(.*?) \()?((?:file:\/\/|\/|[A-Za-z]:[\\/])(?:(?!:\d+:\d+\)).)*?):(\d+):(\d+)\)?$/
const DEPTH = 60
/** What is done by a process of the run, and was begun by no line of the user's. */
const NOWHERE = Symbol('nowhere')
const NAMELESS = new Set(['Object.<anonymous>', '<anonymous>', 'eval'])

/** Of one run. */
export class Sites {
  readonly #storage = new AsyncLocalStorage<Site | typeof NOWHERE | undefined>()
  readonly #own: string
  readonly #struck = new Map<Fault, Site>()

  constructor() {
    this.#own = ownFolder(framesOf(new Error('here')))
  }

  /** The place in the user's code that is nearest to whoever asks, or that had him begin: from now on what goes on from here was begun there. */
  here(): Site | undefined {
    const nearest = this.nearest()
    if (nearest === undefined) {
      const begun = this.#storage.getStore()
      return begun === NOWHERE ? undefined : begun
    }
    this.#storage.enterWith({ ...nearest, direct: false })
    return nearest
  }

  /** What `work` does is done here. */
  enter<T>(work: () => T): T {
    return this.#storage.run(this.here() ?? NOWHERE, work)
  }

  /** What is begun in `work` was begun at the site. */
  within<T>(site: Site | undefined, work: () => T): T {
    return this.#storage.run(site === undefined ? NOWHERE : { ...site, direct: false }, work)
  }

  struck(fault: Fault, site: Site): void {
    this.#struck.set(fault, site)
  }

  of(fault: Fault): Site | undefined {
    return this.#struck.get(fault)
  }

  /** Whether it is a process of the run that asks, or what it has begun. */
  get inside(): boolean {
    return this.#storage.getStore() !== undefined
  }

  /** The place in the user's code that is nearest to whoever asks. */
  nearest(): Site | undefined {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = DEPTH
    const frames = framesOf(new Error('here'))
    Error.stackTraceLimit = limit
    return frames.find(
      ({ file }) => !file.startsWith(this.#own) && !/[\\/]node_modules[\\/]/.test(file) && !file.startsWith('node:'),
    )
  }

  /** Ends what it keeps. */
  close(): void {
    this.#storage.disable()
  }
}

/** A site in words: `place (shop.ts:31:11)`, and the line itself where it can be read. */
export function siteText({ file, line, column, name }: Site): string {
  const near = relative(process.cwd(), file)
  const shown = near === '' || near.startsWith('..') ? file : near
  const place = `${shown}:${line}:${column}`
  const text = lineOf(file, line)
  return `${name === undefined ? place : `${name} (${place})`}${text === '' ? '' : `  ${text}`}`
}

function lineOf(file: string, line: number): string {
  try {
    return (readFileSync(file, 'utf8').split('\n')[line - 1] ?? '').trim().slice(0, 120)
  } catch {
    return ''
  }
}

function framesOf({ stack }: Error): readonly Site[] {
  const frames: Site[] = []
  for (const text of String(stack).split('\n')) {
    const [, name, file, line, column] = FRAME.exec(text) ?? []
    if (file === undefined) continue
    frames.push({
      file: file.startsWith('file://') ? fileURLToPath(file) : file,
      line: Number(line),
      column: Number(column),
      name: name === undefined || NAMELESS.has(name) ? undefined : name.replace(/^Object\./, ''),
      direct: true,
    })
  }
  return frames
}

// In the source: the folder `src`; in a package: the folder of the built files.
function ownFolder([frame]: readonly Site[]): string {
  const file = frame?.file ?? ''
  const at = file.search(/[\\/]testing[\\/]crash-test[\\/]/)
  return at >= 0 ? file.slice(0, at + 1) : file.replace(/[^\\/]*$/, '')
}
