// Keeps to a rate that was agreed with the peer: so many calls in so many milliseconds, in this process or over all of them.
// The local limit is exact and our own; the shared one is bottleneck's. Why: docs/decisions/002-rate-limit.md.
import type { CallContext } from '../core/context.ts'
import { type Describable, described, type LayerDescription } from '../core/describe.ts'
import { type Handler, type Layer, type Refusal, refuse } from '../core/handler.ts'
import { type Closable, closable } from '../core/lifecycle.ts'
import { countOption, durationOption, invalidOption, knownOptions } from '../core/options.ts'
import type { FairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'
import { keyOfRequest } from './failures.ts'
import { Kept } from './kept.ts'
import { SEAMS, type Seams, type World, world } from './seams.ts'
import { SharedLimit, type SharedLimitOptions } from './shared-limit.ts'
import { SlidingWindow } from './sliding-window.ts'

export type { RedisClient, SharedLimitOptions } from './shared-limit.ts'

/** Options of the rate limit. */
export interface RateLimitOptions<Req = never> extends Seams {
  /** How many calls are let out in `perMs`. */
  readonly limit: number
  /** Milliseconds. */
  readonly perMs: number
  /** Gives each key a limit of its own. Default: one limit for all. */
  readonly key?: ((request: Req) => string) | undefined
  /** How many keys are counted at once. While all of them are in use, further keys share one limit. Default 1,000. */
  readonly maxKeys?: number | undefined
  /** Calls beyond the limit wait their turn for at most `maxMs`, and never beyond their deadline. Default false: they are refused at once. */
  readonly wait?: false | { readonly maxMs: number } | undefined
  /** One limit for all processes that name it, over Redis. Default: each process counts for itself. */
  readonly shared?: SharedLimitOptions | undefined
}

/** A rate limit is a layer that can be closed. One may be given to several pipelines: they share it. */
export interface RateLimit extends Layer, Closable, Describable<LayerDescription> {}

/**
 * Refuses calls beyond the limit with `RATE_LIMITED` (`retryAfterMs` says when to come again), or lets them wait their turn.
 *
 * Local: never more than `limit` in any stretch of `perMs`, wherever it begins. Shared: a fixed window in Redis, so around the moment
 * of refilling up to twice the limit; one round trip a call, shared by calls at the same time; retries of a call count like calls.
 * After `close()` calls are refused with `SHUTDOWN`, those that wait too; a connection of yours stays open.
 * @example rateLimit({ limit: 100, perMs: 1_000 })
 * @example rateLimit({ limit: 100, perMs: 1_000, shared: { client: redis, id: 'payment' } })
 * @throws FairleadError `INVALID_OPTIONS`; a call rejects with `PROGRAMMING_ERROR` where `key` throws or gives no string
 */
export function rateLimit<Req = never>(options: RateLimitOptions<Req>): RateLimit {
  const rules = rulesOf(options as RateLimitOptions)
  const gate = new Gate(rules, world(options))
  const layer: Layer = (next) => (request, context) => {
    let key = ''
    if (rules.key !== undefined) {
      try {
        key = keyOfRequest(rules.key, request, 'rateLimit', context)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return gate.closed ? refuse(() => shutDown(context)) : gate.pass(key, next, request, context)
  }
  Object.assign(
    layer,
    closable(async () => gate.close()),
  )
  const { limit, perMs, maxKeys, maxWaitMs, shared } = rules
  const said = { limit, perMs, maxKeys, maxWaitMs, ...(shared === undefined ? {} : { shared: describeShared(shared) }) }
  return described(layer as RateLimit, 'rate-limit', said, () => gate.state)
}

interface Rules {
  readonly limit: number
  readonly perMs: number
  readonly key: ((request: never) => string) | undefined
  readonly maxKeys: number
  readonly maxWaitMs: number
  readonly shared: (SharedLimitOptions & { readonly timeoutMs: number }) | undefined
}

function rulesOf(options: RateLimitOptions): Rules {
  knownOptions('rateLimit', options, ['limit', 'perMs', 'key', 'maxKeys', 'wait', 'shared', ...SEAMS])
  const { key, wait, shared } = options
  if (options.limit === undefined)
    throw invalidOption('rateLimit.limit', undefined, 'say how many calls are let out in perMs')
  if (options.perMs === undefined) throw invalidOption('rateLimit.perMs', undefined, 'say in how many milliseconds')
  if (key !== undefined && typeof key !== 'function')
    throw invalidOption('rateLimit.key', key, 'give a function from the request to a string')
  if (wait !== undefined && wait !== false && (typeof wait !== 'object' || wait === null))
    throw invalidOption('rateLimit.wait', wait, 'give { maxMs }, or false')
  if (wait) knownOptions('rateLimit.wait', wait, ['maxMs'])
  return {
    limit: countOption('rateLimit.limit', options.limit, 1),
    perMs: durationOption('rateLimit.perMs', options.perMs, 1),
    key,
    maxKeys: countOption('rateLimit.maxKeys', options.maxKeys, 1_000),
    maxWaitMs: wait ? durationOption('rateLimit.wait.maxMs', wait.maxMs ?? Number.NaN, 0) : 0,
    shared: shared === undefined ? undefined : sharedOf(shared, options.perMs),
  }
}

function sharedOf(shared: SharedLimitOptions, perMs: number): SharedLimitOptions & { readonly timeoutMs: number } {
  knownOptions('rateLimit.shared', shared, ['client', 'id', 'timeoutMs', 'whenUnavailable'])
  if (typeof shared.client?.duplicate !== 'function')
    throw invalidOption('rateLimit.shared.client', shared.client, 'give an ioredis client')
  if (typeof shared.id !== 'string' || shared.id === '')
    throw invalidOption('rateLimit.shared.id', shared.id, 'give a name that all who share the limit use')
  if (!Number.isInteger(perMs))
    throw invalidOption('rateLimit.perMs', perMs, 'give whole milliseconds for a shared limit')
  const { whenUnavailable } = shared
  if (whenUnavailable !== undefined && whenUnavailable !== 'local' && whenUnavailable !== 'refuse')
    throw invalidOption('rateLimit.shared.whenUnavailable', whenUnavailable, "give 'local' or 'refuse'")
  return { ...shared, timeoutMs: durationOption('rateLimit.shared.timeoutMs', shared.timeoutMs, 250) }
}

function describeShared({ id, timeoutMs, whenUnavailable }: SharedLimitOptions): Readonly<Record<string, unknown>> {
  return { id, timeoutMs, whenUnavailable: whenUnavailable ?? 'local' }
}

class Gate {
  closed = false
  readonly #rules: Rules
  readonly #world: World
  readonly #windows: Windows
  readonly #shared: SharedLimit | undefined
  readonly #waiting: Set<() => void> = new Set()

  constructor(rules: Rules, seen: World) {
    this.#rules = rules
    this.#world = seen
    this.#windows = new Windows(rules)
    const { shared } = rules
    if (shared !== undefined)
      this.#shared = new SharedLimit(shared, { ...rules, timeoutMs: shared.timeoutMs }, seen.clock, (state, error) => {
        if (seen.events.heard)
          seen.events.emit({ type: 'rate-limit', id: shared.id, state, ...(error === undefined ? {} : { error }) })
      })
  }

  get state(): Readonly<Record<string, unknown>> {
    const keys = this.#shared?.keys ?? this.#windows.size
    return {
      keys,
      waiting: this.#waiting.size,
      ...(this.#shared === undefined ? {} : { available: this.#shared.available }),
    }
  }

  pass<Req, Res, C extends CallContext>(
    key: string,
    next: Handler<Req, Res, C>,
    request: Req,
    context: C,
  ): Promise<Res> | Refusal {
    if (this.#shared !== undefined) return this.#throughShared(this.#shared, key, next, request, context)
    return this.#throughLocal(key, next, request, context)
  }

  close(): void {
    this.closed = true
    for (const end of [...this.#waiting]) end()
    this.#shared?.close()
  }

  #throughLocal<Req, Res, C extends CallContext>(
    key: string,
    next: Handler<Req, Res, C>,
    request: Req,
    context: C,
  ): Promise<Res> | Refusal {
    const now = this.#world.clock.now()
    const maxWaitMs = this.#patience(context, 0)
    const waitMs = this.#windows.of(key, now).take(now, maxWaitMs)
    if (waitMs === 0) return next(request, context)
    if (waitMs > maxWaitMs) return refuse(() => limited(context, waitMs, this.#rules))
    return this.#rest(waitMs, context).then(() => next(request, context))
  }

  async #throughShared<Req, Res, C extends CallContext>(
    shared: SharedLimit,
    key: string,
    next: Handler<Req, Res, C>,
    request: Req,
    context: C,
  ): Promise<Res> {
    const began = this.#world.clock.now()
    for (;;) {
      let granted: boolean
      try {
        granted = await this.#unlessEnded(context, shared.take(key))
      } catch (error) {
        if (this.closed) throw shutDown(context)
        if (context.aborted !== undefined) throw context.aborted.reason
        if (this.#rules.shared?.whenUnavailable === 'refuse') throw unavailable(context, error)
        return this.#throughLocal(key, next, request, context)
      }
      if (granted) return next(request, context)
      const untilFullMs = shared.untilFullMs(key)
      const patienceMs = this.#patience(context, this.#world.clock.now() - began)
      // Where this process did not see the window begin it has to look again before the latest end.
      if (patienceMs <= 0 || patienceMs < Math.min(untilFullMs, this.#rules.perMs / 10))
        throw limited(context, untilFullMs, this.#rules)
      await this.#rest(Math.min(patienceMs, untilFullMs, Math.max(1, this.#rules.perMs / 10)), context)
    }
  }

  // What is let out in the last millisecond has no time left.
  #patience(context: CallContext, usedMs: number): number {
    const { maxWaitMs } = this.#rules
    if (maxWaitMs === 0) return 0
    return Math.max(0, Math.min(maxWaitMs - usedMs, context.deadline.remainingMs() - 1))
  }

  /** Waits for its turn, unless the caller leaves or the limit is closed. */
  #rest(ms: number, context: CallContext): Promise<void> {
    const { clock } = this.#world
    let timer: unknown
    const turn = new Promise<void>((resolve) => {
      timer = clock.setTimer(resolve, ms, undefined)
    })
    return this.#unlessEnded(context, turn, () => clock.clearTimer(timer))
  }

  #unlessEnded<T>(context: CallContext, work: Promise<T>, tidy?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (reason: unknown): void => {
        this.#waiting.delete(shut)
        tidy?.()
        reject(reason)
      }
      const shut = (): void => {
        stop()
        end(shutDown(context))
      }
      let stop = (): void => {}
      this.#waiting.add(shut)
      stop = context.onAbort(end)
      const settle = (): void => {
        this.#waiting.delete(shut)
        stop()
      }
      work.then(settle, settle)
      work.then(resolve, reject)
    })
  }
}

// One window a key; the longest unused goes once nothing in it counts. An attacker with many keys cannot make us forget who is busy.
class Windows {
  readonly #rules: Rules
  readonly #one: SlidingWindow
  readonly #kept: Kept<SlidingWindow>
  readonly #byKey: boolean

  constructor(rules: Rules) {
    this.#rules = rules
    this.#byKey = rules.key !== undefined
    this.#one = new SlidingWindow(rules.limit, rules.perMs)
    this.#kept = new Kept(rules.maxKeys)
  }

  get size(): number {
    return this.#byKey ? this.#kept.size : 1
  }

  of(key: string, now: number): SlidingWindow {
    if (!this.#byKey) return this.#one
    const known = this.#kept.get(key)
    if (known !== undefined) return known
    if (this.#kept.size >= this.#rules.maxKeys) {
      const oldest = this.#kept.values().next().value
      if (oldest !== undefined && !oldest.idle(now)) return this.#one
    }
    const fresh = new SlidingWindow(this.#rules.limit, this.#rules.perMs)
    this.#kept.set(key, fresh)
    return fresh
  }
}

function limited({ service, operation }: CallContext, retryAfterMs: number, { limit, perMs }: Rules): FairleadError {
  return createError({
    code: 'RATE_LIMITED',
    message: `${limit} calls in ${perMs} ms are let out, and no more`,
    retryAfterMs,
    service,
    operation,
    stack: false,
  })
}

function unavailable({ service, operation }: CallContext, cause: unknown): FairleadError {
  return createError({
    code: 'RATE_LIMITED',
    message: 'the shared limit cannot be asked, and calls are refused without it',
    cause,
    details: { reason: 'unavailable' },
    service,
    operation,
    stack: false,
  })
}

function shutDown({ service, operation }: CallContext): FairleadError {
  return createError({ code: 'SHUTDOWN', message: 'this rate limit is closed', service, operation, stack: false })
}
