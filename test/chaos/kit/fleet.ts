// The processes of a run: started, killed, stopped and continued by name; whatever ends is started again.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Asked, Reported, Told } from './words.ts'

const script = fileURLToPath(new URL('worker.ts', import.meta.url))

const MOST_FAILURES = 10

export class Fleet {
  readonly #members = new Map<string, Member>()
  readonly #heard: (name: string, what: Reported) => void
  #over = false
  starts = 0
  /** Workers that ended on their own. */
  failures = 0
  readonly #onExit = (): void => this.#killAll()

  constructor(heard: (name: string, what: Reported) => void) {
    this.#heard = heard
    process.on('exit', this.#onExit)
  }

  names(role: Told['role']): readonly string[] {
    return [...this.#members.values()].filter(({ told }) => told.role === role).map(({ told }) => told.name)
  }

  add(told: Told): void {
    const member: Member = { told, child: undefined, stopped: false, leaving: false }
    this.#members.set(told.name, member)
    this.#start(member)
  }

  ask(name: string, what: Asked): void {
    const { child } = this.#of(name)
    if (child?.connected === true) child.send(what, () => undefined)
  }

  kill(name: string): void {
    this.#of(name).child?.kill('SIGKILL')
  }

  stop(name: string): void {
    const member = this.#of(name)
    member.stopped = true
    member.child?.kill('SIGSTOP')
  }

  /** Also for those that stopped themselves. */
  goOn(name: string): void {
    const member = this.#of(name)
    member.stopped = false
    member.child?.kill('SIGCONT')
  }

  /** Asks it to end by itself, and waits. */
  async leave(name: string): Promise<void> {
    const member = this.#of(name)
    member.leaving = true
    const { child } = member
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    this.goOn(name)
    this.ask(name, { do: 'end' })
    await gone
  }

  async end(): Promise<void> {
    this.#over = true
    const gone = [...this.#members.values()].map(
      ({ child }) =>
        new Promise<void>((resolve) => {
          if (child === undefined || child.exitCode !== null || child.signalCode !== null) resolve()
          else child.once('exit', () => resolve())
        }),
    )
    this.#killAll()
    await Promise.all(gone)
    process.off('exit', this.#onExit)
  }

  #of(name: string): Member {
    return this.#members.get(name) as Member
  }

  #start(member: Member): void {
    this.starts++
    const seed = member.told.seed + this.starts
    const child = fork(script, [JSON.stringify({ ...member.told, seed })], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    member.child = child
    member.stopped = false
    child.on('message', (what: Reported) => this.#heard(member.told.name, what))
    child.once('exit', (code) => {
      if (this.#over || member.leaving) return
      if (code === null) this.#start(member)
      // Nobody told it to: a worker that cannot run must not be started for ever.
      else if (++this.failures > MOST_FAILURES)
        this.#heard(member.told.name, { is: 'trouble', words: `it ended with ${code} again and again` })
      else setTimeout(() => (this.#over ? undefined : this.#start(member)), 1_000)
    })
  }

  #killAll(): void {
    for (const { child } of this.#members.values()) child?.kill('SIGKILL')
  }
}

interface Member {
  readonly told: Told
  child: ChildProcess | undefined
  stopped: boolean
  leaving: boolean
}
