// Calls of contracts between processes: what goes over HTTP in production goes over the network of the run, to the same server adapter.
import type { CallContext } from '../../core/context.ts'
import type { OperationDescriptor, RpiTransport } from '../../core/contracts/rpi.ts'
import { DESCRIBE, type Describable, type Description } from '../../core/describe.ts'
import { hintsOf, readReply, type WholeReply } from '../../core/http-reply.ts'
import { type RequestParts, requestParts } from '../../core/http-request.ts'
import { DEADLINE_HEADER } from '../../core/http-wire.ts'
import { invalidOption } from '../../core/options.ts'
import { isFairleadError } from '../../errors/base.ts'
import { createError, stamp } from '../../errors/classes.ts'
import { bareError } from './bare-error.ts'
import type { Life } from './life.ts'
import type { SimulatedProcess } from './world.ts'

/** What serves a contract: `createServerAdapter(...)` makes such. */
export interface CrashServer {
  readonly service: string
  fetch(request: Request): Promise<Response>
}

interface Served {
  readonly server: CrashServer
  readonly basePath: string
  readonly deadlineHeader: string
}

interface Found {
  readonly life: Life
  readonly served: Served
}

/** Who serves which contract. */
export class Contracts {
  readonly #processes: ReadonlyMap<string, SimulatedProcess>
  readonly #served = new WeakMap<Life, Map<string, Served>>()
  #turn = 0

  constructor(processes: ReadonlyMap<string, SimulatedProcess>) {
    this.#processes = processes
  }

  /** From now on, and as long as this life lasts. @throws FairleadError `INVALID_OPTIONS` */
  serve(life: Life, server: CrashServer): void {
    if (typeof server?.fetch !== 'function' || typeof server.service !== 'string')
      throw invalidOption(
        'server',
        server,
        'give what createServerAdapter() made, or the name of an operation and a function',
      )
    let served = this.#served.get(life)
    if (served === undefined) {
      served = new Map()
      this.#served.set(life, served)
    }
    const said = (server as Partial<Describable<Description>>)[DESCRIBE]?.()['options'] as Partial<Served> | undefined
    const { basePath = '', deadlineHeader = DEADLINE_HEADER } = said ?? {}
    served.set(server.service, { server, basePath, deadlineHeader })
  }

  /** A transport for the proxies of one life. */
  transportOf(life: Life): RpiTransport {
    let closed = false
    return {
      name: 'network',
      invoke: async (operation, input, context) => {
        context.effect = 'none'
        const hints = hintsOf(operation, context, 'network')
        if (closed) throw createError({ ...hints, code: 'SHUTDOWN', message: 'this transport is closed' })
        if (operation.streaming !== 'none')
          throw createError({
            ...hints,
            code: 'CAPABILITY_MISSING',
            message: `${operation.service}.${operation.name} streams, and a crash test carries whole answers`,
          })
        try {
          return readReply(operation, await this.#call(life, operation, input, context), hints)
        } catch (error) {
          throw isFairleadError(error) ? stamp(error, hints) : error
        }
      },
      close: async () => {
        closed = true
      },
    }
  }

  async #call(life: Life, operation: OperationDescriptor, input: unknown, context: CallContext): Promise<WholeReply> {
    const { service, name } = operation
    const parts = requestParts(operation, input, context, { basePath: '', deadlineHeader: DEADLINE_HEADER })
    const words = (): string => `${parts.method} ${parts.target}${parts.body === undefined ? '' : ` ${parts.body}`}`
    const answer = (reply: WholeReply): string => `${reply.status} ${reply.text}`.trim()
    const gone = new AbortController()
    return new Promise((resolve, reject) => {
      // Whoever waits no longer hangs up. What has arrived goes on.
      const stop = context.onAbort((reason) => {
        reject(reason)
        gone.abort(reason)
      })
      const asked = life.step(
        `call ${service}.${name}`,
        () => {
          context.effect = 'unknown'
          return this.#ask(life, operation, parts, gone.signal)
        },
        { words, answer },
      )
      asked.then(stop, stop)
      asked.then(resolve, reject)
    })
  }

  async #ask(
    caller: Life,
    operation: OperationDescriptor,
    parts: RequestParts,
    gone: AbortSignal,
  ): Promise<WholeReply> {
    const to = `${operation.service}.${operation.name}`
    const found = this.#find(operation.service)
    if (found === undefined) {
      if (this.#allUp()) caller.world.fail(nobodyServes(caller, operation.service, this.#services()))
      throw bareError({ code: 'CONNECTION_REFUSED', effect: 'none', message: `nobody answers ${to} now` })
    }
    const { life, served } = found
    const { sites } = caller.world
    return new Promise((resolve, reject) => {
      life.onDeath(() =>
        reject(
          bareError({
            code: 'CONNECTION_LOST',
            effect: 'unknown',
            message: `no answer came from ${to}: it was killed`,
          }),
        ),
      )
      const hungUp = new AbortController()
      const hangUp = (): void => life.run(() => hungUp.abort(gone.reason))
      if (gone.aborted) hangUp()
      else gone.addEventListener('abort', hangUp, { once: true })
      const begin = (): Promise<WholeReply> => answerOf(served, parts, hungUp.signal)
      life.run(() => {
        // What it does by itself was begun by the caller's line no more. Nothing is inherited either but what the headers say: it was the clock that called.
        const answer = sites === undefined ? begin() : sites.within(undefined, begin)
        answer.then(
          (reply) => life.run(() => resolve(reply)),
          (error: unknown) => life.run(() => reject(error)),
        )
      })
    })
  }

  // Where several serve it, one after another is asked.
  #find(service: string): Found | undefined {
    const found: Found[] = []
    for (const { life } of this.#processes.values()) {
      const served = life === undefined ? undefined : this.#served.get(life)?.get(service)
      if (life !== undefined && served !== undefined) found.push({ life, served })
    }
    return found[this.#turn++ % Math.max(1, found.length)]
  }

  #allUp(): boolean {
    return [...this.#processes.values()].every(({ up, lives }) => up && lives === 1)
  }

  #services(): readonly string[] {
    return [...this.#processes.values()].flatMap(({ life }) =>
      life === undefined ? [] : [...(this.#served.get(life)?.keys() ?? [])],
    )
  }
}

async function answerOf(
  { server, basePath, deadlineHeader }: Served,
  { method, target, headers: sent, body }: RequestParts,
  signal: AbortSignal,
): Promise<WholeReply> {
  const { [DEADLINE_HEADER]: left, ...rest } = sent
  const headers = left === undefined ? rest : { ...rest, [deadlineHeader]: left }
  const request = new Request(`http://network${basePath}${target}`, { method, headers, body: body ?? null, signal })
  const response = await server.fetch(request)
  return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() }
}

// The test is wrong, not the program.
function nobodyServes(caller: Life, service: string, there: readonly string[]): Error {
  return createError({
    code: 'INVALID_OPTIONS',
    message: `${caller.name} calls what is not there: nobody serves ${service}; ${there.length === 0 ? 'nothing is served: call own.serve(createServerAdapter(...))' : `there is ${there.join(', ')}`}`,
  })
}
