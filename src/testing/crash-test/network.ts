// Requests from one process to another, as over a network: they find nobody, their answer is lost, or nobody knows what became of them.
import { isFairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { bareError } from './bare-error.ts'
import { Contracts } from './contracts.ts'
import type { Life } from './life.ts'
import type { SimulatedProcess } from './world.ts'

/** What a process answers. */
export type Operation = (...args: never[]) => unknown

/** The processes that can be asked. */
export class Network {
  readonly services: Map<string, SimulatedProcess> = new Map()
  readonly contracts: Contracts = new Contracts(this.services)
  private readonly operations = new WeakMap<Life, Map<string, Operation>>()

  serve(life: Life, operation: string, work: Operation): void {
    let served = this.operations.get(life)
    if (served === undefined) {
      served = new Map()
      this.operations.set(life, served)
    }
    served.set(operation, work)
  }

  /** A call of `caller`. @throws FairleadError with what is known of its effect */
  call(
    caller: Life,
    service: string,
    operation: string,
    args: readonly unknown[],
    timeoutMs: number,
  ): Promise<unknown> {
    const target = this.services.get(service)
    if (target === undefined) return this.wrong(caller, `there is no service ${service}`, [...this.services.keys()])
    const words = (): string => args.map(shown).join(', ')
    return caller.step(`call ${service}.${operation}`, () => this.ask(target, operation, args, timeoutMs, caller), {
      words,
      answer: shown,
    })
  }

  private ask(
    target: SimulatedProcess,
    operation: string,
    args: readonly unknown[],
    timeoutMs: number,
    caller: Life,
  ): Promise<unknown> {
    const { life } = target
    const to = `${target.name}.${operation}`
    const served = life === undefined ? undefined : this.operations.get(life)
    const work = served?.get(operation)
    if (life === undefined || (work === undefined && !(target.up && target.lives === 1)))
      throw bareError({ code: 'CONNECTION_REFUSED', effect: 'none', message: `nobody answers ${to} now` })
    if (work === undefined) return this.wrong(caller, `nobody serves ${to}`, [...(served?.keys() ?? [])])
    const { clock, sites } = caller.world
    return new Promise((resolve, reject) => {
      const message = `no answer came from ${to}`
      const timer = clock.setTimer(
        () => reject(bareError({ code: 'DEADLINE_EXCEEDED', message: `${message} in ${timeoutMs} ms` })),
        timeoutMs,
        undefined,
      )
      const over = (): void => clock.clearTimer(timer)
      life.onDeath(() => {
        over()
        reject(bareError({ code: 'CONNECTION_LOST', effect: 'unknown', message: `${message}: it was killed` }))
      })
      const begin = async (): Promise<unknown> => work(...(args.map(copied) as never[]))
      life.run(() => {
        // What it does by itself was begun by the caller's line no more.
        const answer = sites === undefined ? begin() : sites.within(undefined, begin)
        answer.then(
          (value) =>
            life.run(() => {
              over()
              try {
                resolve(copied(value))
              } catch (error) {
                reject(failed(error, to))
              }
            }),
          (error: unknown) =>
            life.run(() => {
              over()
              reject(failed(error, to))
            }),
        )
      })
    })
  }

  // The test is wrong, not the program.
  private wrong(caller: Life, what: string, there: readonly string[]): Promise<never> {
    const error = createError({
      code: 'INVALID_OPTIONS',
      message: `${caller.name} calls what is not there: ${what}; ${there.length === 0 ? 'there is none' : `there is ${there.join(', ')}`}`,
    })
    caller.world.fail(error)
    return Promise.reject(error)
  }
}

function failed(error: unknown, to: string): unknown {
  if (isFairleadError(error)) return error
  return createError({ code: 'SERVER_ERROR', message: `${to} failed: ${String(error)}`, cause: error })
}

// Nothing is shared between processes.
function copied<T>(value: T): T {
  return typeof value === 'object' || typeof value === 'function' ? structuredClone(value) : value
}

/** A value in the story. */
export function shown(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return value
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 80)
  } catch {
    return String(value)
  }
}
