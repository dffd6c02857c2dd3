// What one call knows of itself. Shared state lives in the closures of the layers; the state of one call lives here only.

import type { Effect } from '../errors/codes.ts'
import { Alarm } from './alarm.ts'
import type { Clock } from './clock.ts'
import type { Resolver } from './contracts/balancer.ts'
import type { Endpoint } from './contracts/source.ts'
import type { Deadline } from './deadline.ts'

/** One attempt of one call, as every layer and the transport see it. */
export interface CallContext {
  readonly service: string
  readonly operation: string
  /** 1-based. */
  readonly attempt: number
  readonly deadline: Deadline
  readonly idempotent: boolean
  readonly idempotencyKey?: string | undefined
  /** What travels with the call: trace context, baggage, remaining time, criticality. */
  readonly headers: Readonly<Record<string, string>>
  /** One per attempt, made when first read: an AbortSignal is the dearest part of a call. */
  readonly signal: AbortSignal
  /** The reason of the abort, or undefined while the attempt may go on. */
  readonly aborted: { readonly reason: unknown } | undefined
  /** The cheap way to be told of an abort, for transports. Called at once if it has happened. Returns the way to stop listening. */
  onAbort(listener: (reason: unknown) => void): () => void
  /** The attempt is not over until this settles (a body still streaming, work that a timeout left behind): it holds slot, lease and signal. */
  track(work: Promise<unknown>): void
  /** All that was tracked, or undefined: what a bulkhead and a lease wait for besides the answer. */
  readonly tracked: Promise<unknown> | undefined
  /**
   * Starts 'unknown'. Only a transport that measures sets it to 'none' at entry, and again whenever the client resends by itself.
   * For a user's own function it stays 'unknown' unless the error's code proves 'none'.
   */
  effect: Effect
  /** Set by the pick. */
  endpoint: Endpoint | undefined
  readonly resolver: Resolver | undefined
  /** Ids of the endpoints that this call has tried, over all its attempts. Live: whoever waits for an endpoint sees what was tried meanwhile. */
  readonly tried: ReadonlySet<string>
  /** Notes that an endpoint is being tried. */
  markTried(id: string): void
  /** State of one call for other layers. */
  readonly locals: Map<symbol, unknown>
  /** The context of a further attempt, or of a part under a tighter deadline: own signal, effect and endpoint; `tried` and `locals` shared. `abort` ends that one alone. */
  fork(change: ContextChange): AbortableContext
}

/** What a fork may change. */
export interface ContextChange {
  readonly attempt?: number | undefined
  readonly deadline?: Deadline | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** It begins with no endpoint tried, what is tried in it does not count outside, and in it no endpoint is tried twice. */
  readonly ownTried?: true | undefined
}

/** A context with the means to end it. */
export interface AbortableContext {
  readonly context: CallContext
  abort(reason: unknown): void
}

/** What a call starts with. */
export interface ContextInit {
  readonly service: string
  readonly operation: string
  readonly deadline: Deadline
  readonly idempotent: boolean
  readonly idempotencyKey?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly resolver?: Resolver | undefined
}

type Listener = (reason: unknown) => void

/**
 * The way of our own layers to be told of an abort: an object that is a link of the context's list itself, so that listening
 * costs neither a closure nor an array. It can listen to one context only.
 */
export interface AbortWatcher {
  /** Of the context. Set it to undefined and leave it alone. */
  nextWatcher: AbortWatcher | undefined
  onAborted(reason: unknown): void
}

// A listener as a link.
class ListenerWatcher implements AbortWatcher {
  nextWatcher: AbortWatcher | undefined
  // Stopped by an earlier listener of the same abort, when it is in no list any more.
  stopped = false
  private readonly listener: Listener

  constructor(listener: Listener) {
    this.nextWatcher = undefined
    this.listener = listener
  }

  onAborted(reason: unknown): void {
    if (!this.stopped) this.listener(reason)
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

// One class for root and forks, every field set in the constructor: one hidden class keeps the hot path monomorphic.
// It is its own AbortableContext, so that a fork costs one object.
class Context implements CallContext, AbortableContext, AbortWatcher {
  readonly service: string
  readonly operation: string
  readonly attempt: number
  readonly deadline: Deadline
  readonly idempotent: boolean
  readonly idempotencyKey: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly resolver: Resolver | undefined
  effect: Effect
  endpoint: Endpoint | undefined
  tracked: Promise<unknown> | undefined
  private ended: { readonly reason: unknown } | undefined
  private latest: Context | undefined
  private touched: boolean
  private readonly root: Context
  private readonly trier: Context
  private readonly parent: Context | undefined
  private controller: AbortController | undefined
  private firstWatcher: AbortWatcher | undefined
  private lastWatcher: AbortWatcher | undefined
  nextWatcher: AbortWatcher | undefined
  private linked: boolean
  private allLocals: Map<symbol, unknown> | undefined
  private allTried: Set<string> | undefined
  private anyTried: boolean
  private ownAlarm: Alarm | undefined

  constructor(init: ContextInit | Context, change: ContextChange | undefined) {
    const parent = init instanceof Context ? init : undefined
    this.service = init.service
    this.operation = init.operation
    this.attempt = change?.attempt ?? (parent === undefined ? 1 : parent.attempt)
    this.deadline = change?.deadline ?? init.deadline
    this.idempotent = init.idempotent
    this.idempotencyKey = init.idempotencyKey
    this.headers = change?.headers ?? init.headers ?? NO_HEADERS
    this.resolver = init.resolver
    this.effect = 'unknown'
    this.endpoint = undefined
    this.ended = undefined
    this.tracked = undefined
    this.latest = undefined
    this.touched = false
    this.root = parent === undefined ? this : parent.root
    this.trier = parent === undefined || change?.ownTried === true ? this : parent.trier
    this.parent = parent
    this.controller = undefined
    this.firstWatcher = undefined
    this.lastWatcher = undefined
    this.nextWatcher = undefined
    this.linked = false
    this.allLocals = undefined
    this.allTried = undefined
    this.anyTried = false
    this.ownAlarm = undefined
  }

  get context(): CallContext {
    return this
  }

  get aborted(): { readonly reason: unknown } | undefined {
    return this.ended ?? this.parent?.aborted
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      const controller = new AbortController()
      this.controller = controller
      this.link()
      if (this.aborted !== undefined) controller.abort(this.aborted.reason)
    }
    return this.controller.signal
  }

  get tried(): ReadonlySet<string> {
    return this.trier.triedHere()
  }

  markTried(id: string): void {
    this.trier.triedHere().add(id)
    this.root.anyTried = true
  }

  private triedHere(): Set<string> {
    if (this.allTried === undefined) this.allTried = new Set()
    return this.allTried
  }

  /** In a part of the call that tries nobody twice. */
  triesOnce(): boolean {
    return this.trier !== this.root
  }

  /** Anybody, in any part of the call. */
  hasTried(): boolean {
    return this.root.anyTried
  }

  alarm(clock: Clock): Alarm {
    const { root } = this
    if (root.ownAlarm === undefined) root.ownAlarm = new Alarm(clock)
    return root.ownAlarm.clock === clock ? root.ownAlarm : new Alarm(clock)
  }

  get locals(): Map<symbol, unknown> {
    const { root } = this
    if (root.allLocals === undefined) root.allLocals = new Map()
    return root.allLocals
  }

  onAbort(listener: Listener): () => void {
    const watcher = new ListenerWatcher(listener)
    const stopping = (): void => {
      watcher.stopped = true
      this.unwatch(watcher)
    }
    return this.watch(watcher) ? stopping : nothing
  }

  /** False where the abort has happened already; the watcher has been told then. */
  watch(watcher: AbortWatcher): boolean {
    this.link()
    const { aborted } = this
    if (aborted !== undefined) {
      watcher.onAborted(aborted.reason)
      return false
    }
    if (this.lastWatcher === undefined) this.firstWatcher = watcher
    else this.lastWatcher.nextWatcher = watcher
    this.lastWatcher = watcher
    return true
  }

  private unwatch(watcher: AbortWatcher): void {
    let before: AbortWatcher | undefined
    let each = this.firstWatcher
    while (each !== undefined && each !== watcher) {
      before = each
      each = each.nextWatcher
    }
    if (each === undefined) return
    if (before === undefined) this.firstWatcher = each.nextWatcher
    else before.nextWatcher = each.nextWatcher
    if (this.lastWatcher === each) this.lastWatcher = before
    each.nextWatcher = undefined
  }

  /** Ended by its parent. */
  onAborted(reason: unknown): void {
    this.end(reason)
  }

  // Read on its own (`const { context, abort } = ...`) it still works; bound when it is read, which is seldom.
  get abort(): (reason: unknown) => void {
    return (reason) => this.end(reason)
  }

  end(reason: unknown): void {
    if (this.ended !== undefined) return
    this.ended = { reason }
    if (this.linked) this.parent?.unwatch(this)
    let watcher = this.firstWatcher
    this.firstWatcher = undefined
    this.lastWatcher = undefined
    while (watcher !== undefined) {
      const next = watcher.nextWatcher
      watcher.nextWatcher = undefined
      tell(watcher, reason)
      watcher = next
    }
    this.controller?.abort(reason)
  }

  track(work: Promise<unknown>): void {
    // Seen by the parents too: a bulkhead outside a fork waits for what was tracked inside it.
    const settled = work.then(nothing, nothing)
    for (let context: Context | undefined = this; context !== undefined; context = context.parent)
      context.tracked = context.tracked === undefined ? settled : Promise.all([context.tracked, settled])
  }

  fork(change: ContextChange): Context {
    // What was tried before counts: in a fork, or, with a retry around the very transport, on this context itself.
    const before = this.latest ?? ((change.attempt ?? 0) > this.attempt ? this : undefined)
    if (before !== undefined && before.effectSoFar() !== 'none') this.touched = true
    const fork = new Context(this, change)
    this.latest = fork
    return fork
  }

  effectSoFar(): Effect {
    if (this.touched) return 'unknown'
    return this.latest === undefined ? this.effect : this.latest.effectSoFar()
  }

  // A fork listens to its parent only once somebody listens to the fork.
  private link(): void {
    if (this.linked || this.parent === undefined || this.ended !== undefined) return
    this.linked = true
    this.parent.watch(this)
  }
}

// One listener's fault must not keep the abort from the others, nor from the timer that called.
function tell(watcher: AbortWatcher, reason: unknown): void {
  try {
    watcher.onAborted(reason)
  } catch {
    // Nobody to tell: the attempt is over.
  }
}

function nothing(): void {}

/** Starts the context of a call. `abort` ends the whole call. */
export function createContext(init: ContextInit): AbortableContext {
  return new Context(init, undefined)
}

/** Ends a context from outside. One that is not ours cannot be ended; its layers go by their own bounds. */
export function abortContext(context: CallContext, reason: unknown): void {
  if (context instanceof Context) context.end(reason)
}

/** The alarm that all bounds of a call share, on one clock. */
export function alarmOf(context: CallContext, clock: Clock): Alarm {
  return context instanceof Context ? context.alarm(clock) : new Alarm(clock)
}

/** As `context.onAbort`, for layers: nothing is allocated. */
export function watchAbort(context: CallContext, watcher: AbortWatcher): void {
  if (context instanceof Context) context.watch(watcher)
  else context.onAbort((reason) => watcher.onAborted(reason))
}

/** Whether the call has tried an endpoint, in whatever part of it. */
export function hasTried(context: CallContext): boolean {
  return context instanceof Context ? context.hasTried() : context.tried.size > 0
}

/** Whether it belongs to a part of the call in which no endpoint is tried twice (`ownTried`). */
export function triesOnce(context: CallContext): boolean {
  return context instanceof Context && context.triesOnce()
}

/** What the peer may have done over all attempts so far: `none` only if every one of them is known to have done nothing. */
export function effectSoFar(context: CallContext): Effect {
  return context instanceof Context ? context.effectSoFar() : context.effect
}
