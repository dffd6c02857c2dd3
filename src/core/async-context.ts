// What a call inherits from the call that it is made for: deadline, headers, signal. Entered by server adapters and consumers.
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Deadline } from './deadline.ts'

/** What is handed down to the calls made while an incoming request is served. */
export interface Inherited {
  readonly deadline?: Deadline | undefined
  /** Headers that travel on: trace context, baggage. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
  /** The message that is being handled: what is published meanwhile was caused by it. */
  readonly cause?: { readonly id: string; readonly correlationId?: string | undefined } | undefined
}

const STORE = Symbol.for('fairlead.inherited')

// One storage a process, whatever the number of installed copies: a deadline must not get lost between two of them.
function storage(): AsyncLocalStorage<Inherited | undefined> {
  const shared = globalThis as { [STORE]?: AsyncLocalStorage<Inherited | undefined> }
  return (shared[STORE] ??= new AsyncLocalStorage())
}

/** What the code that runs now has inherited. */
export function inherited(): Inherited | undefined {
  return (globalThis as { [STORE]?: AsyncLocalStorage<Inherited | undefined> })[STORE]?.getStore()
}

/** Runs `work` so that the calls it makes inherit deadline, headers and signal. A tighter inherited deadline is kept. */
export function withInherited<T>(what: Inherited, work: () => T): T {
  const outer = inherited()
  // Handed on as it is, so that a signal behind a getter is made only if somebody reads it.
  if (outer === undefined) return storage().run(what, work)
  const deadline =
    outer.deadline !== undefined && what.deadline !== undefined && outer.deadline.at < what.deadline.at
      ? outer.deadline
      : (what.deadline ?? outer.deadline)
  const headers = outer.headers === undefined ? what.headers : { ...outer.headers, ...what.headers }
  const signal = either(outer.signal, what.signal)
  return storage().run({ deadline, headers, signal, cause: what.cause ?? outer.cause }, work)
}

function either(outer: AbortSignal | undefined, own: AbortSignal | undefined): AbortSignal | undefined {
  if (outer === undefined || own === undefined || outer === own) return own ?? outer
  return AbortSignal.any([outer, own])
}

/**
 * Runs work that belongs to nobody's call: outside the caller's async context, deadline and signal.
 * For refreshes, caches, pools, and work that is finished after the answer.
 * @example detached(() => warmCache())
 */
export function detached<T>(work: () => T): T {
  return ROOT.runInAsyncScope(() => (inherited() === undefined ? work() : storage().run(undefined, work)))
}

// Made when the module is loaded: import it at start-up, outside every request, and the async context of users' own storages is left behind as well.
const ROOT = new AsyncResource('fairlead.detached', { requireManualDestroy: true })
