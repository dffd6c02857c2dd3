// Looks over the shoulder of somebody else's handler: what was sent, and when it was over. Speaks the dialect that the handler speaks.
import type { CallContext } from '../../core/context.ts'
import type { HttpDispatcher } from './undici.ts'

type Hook = (...args: unknown[]) => unknown

/** Exchanges of one attempt; a redirect makes several. */
export interface Watch {
  /** The given dispatcher, watched. */
  readonly dispatcher: HttpDispatcher
  /** Nothing more will be begun: settles `over` once the last exchange has ended. */
  finish(): void
  /** All exchanges have ended: body read, cancelled or broken. */
  readonly over: Promise<void>
}

/** Watches what goes through a dispatcher for one attempt, and measures its effect. */
export function watch(base: HttpDispatcher, context: CallContext): Watch {
  let open = 0
  let finished = false
  let settle: () => void = () => {}
  const over = new Promise<void>((resolve) => (settle = resolve))
  const ended = (): void => {
    if (--open === 0 && finished) settle()
  }
  context.effect = 'none'
  return {
    over,
    finish() {
      finished = true
      if (open === 0) settle()
    },
    // All else of it (`isMockActive`, `closed` ...) is as before.
    dispatcher: new Proxy(base, {
      get(target, key) {
        if (key !== 'dispatch') return Reflect.get(target, key, target)
        return (options: object, handler: object): boolean => {
          open++
          try {
            return target.dispatch(
              options,
              watched(handler, () => (context.effect = 'unknown'), ended),
            )
          } catch (error) {
            ended()
            throw error
          }
        }
      },
    }),
  }
}

// The names of the hooks in both generations of undici. A handler has one of the two sets, and undici 7 goes by which.
const STARTS = new Set<PropertyKey>(['onRequestStart', 'onConnect'])
const ENDS = new Set<PropertyKey>([
  'onResponseEnd',
  'onResponseError',
  'onRequestUpgrade',
  'onComplete',
  'onError',
  'onUpgrade',
])

// A proxy and not a list of hooks: those that this version of fairlead does not know reach the handler as well.
function watched(handler: object, onStart: () => void, onEnd: () => void): object {
  let over = false
  return new Proxy(handler, {
    get(target, key) {
      const hook: unknown = Reflect.get(target, key, target)
      if (typeof hook !== 'function') return hook
      return (...args: unknown[]): unknown => {
        if (STARTS.has(key)) onStart()
        const result = (hook as Hook).apply(target, args)
        if (ENDS.has(key) && !over) {
          over = true
          onEnd()
        }
        return result
      }
    },
  })
}
