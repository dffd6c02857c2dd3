// Starts instances as processes, and reads what they noted of the calls: also of those that were killed.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Endpoint } from '../../../src/core/contracts/source.ts'

/** What an instance is told. */
export interface Told {
  readonly id: string
  /** Its file. */
  readonly notes: string
  readonly workMs: number
  readonly colour: string
  /** Announces itself in this file. */
  readonly file?: string | undefined
  /** Announces itself at this agent. */
  readonly consul?: string | undefined
  readonly drainMs?: number | undefined
  readonly ttlMs?: number | undefined
}

/** One process that serves. */
export interface Instance {
  readonly id: string
  readonly endpoint: Endpoint
  /** Exit code or signal, once it has ended. */
  readonly ended: Promise<number | string>
  signal(signal: NodeJS.Signals): void
  /** Ids of the calls that came to it. */
  got(): readonly string[]
  /** Of those, the ones that it worked off. */
  did(): readonly string[]
}

/** Processes of one test. */
export interface Fleet {
  readonly folder: string
  readonly instances: readonly Instance[]
  start(told?: Partial<Told>): Promise<Instance>
  startMany(count: number, told?: Partial<Told>): Promise<Instance[]>
  /** Kills whoever is left, and deletes the folder. */
  end(): Promise<void>
}

const script = fileURLToPath(new URL('./instance.ts', import.meta.url))

export function createFleet(): Fleet {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-processes-'))
  const instances: Instance[] = []
  let started = 0

  const start = async (more: Partial<Told> = {}): Promise<Instance> => {
    const id = `instance-${++started}`
    const told: Told = { id, notes: join(folder, id), workMs: 30, colour: 'blue', ...more }
    const child = fork(script, [JSON.stringify(told)], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const ended = new Promise<number | string>((resolve) =>
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown')),
    )
    const port = await portOf(child)
    const noted = (word: string): readonly string[] =>
      readFileSync(told.notes, 'utf8')
        .split('\n')
        .flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []))
    const instance: Instance = {
      id,
      endpoint: { id, addresses: [{ host: '127.0.0.1', port }] },
      ended,
      signal: (signal) => void child.kill(signal),
      got: () => noted('got'),
      did: () => noted('did'),
    }
    instances.push(instance)
    return instance
  }

  return {
    folder,
    instances,
    start,
    startMany: (count, told) => Promise.all(Array.from({ length: count }, () => start(told))),
    async end() {
      for (const { signal } of instances) signal('SIGKILL')
      await Promise.all(instances.map(({ ended }) => ended))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function portOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve((message as { readonly port: number }).port))
    child.once('exit', (code) => reject(new Error(`it ended with ${code} before it listened`)))
  })
}
