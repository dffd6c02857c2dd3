// Names for what handlers are given, for those who write handlers outside of `defineProcess`.
import type { Name, ProcessContext } from './context.ts'
import type { ProcessBuilder } from './types.ts'

/**
 * What handlers of a process get as `process`. Take it of the process with its steps and timeouts named and no handler yet (each method gives a new one): a handler cannot have the type of the process that it is part of.
 * @example
 * const Steps = defineProcess('place-order', { state }).step('payment', Payments, 'payment.take')
 * type Going = ProcessContextOf<typeof Steps>
 * const finish = (process: Going) => process.is('payment') === 'done' && process.complete()
 * export const PlaceOrder = Steps.starts(...)
 */
export type ProcessContextOf<P> =
  P extends ProcessBuilder<infer State, infer Tx, infer S, infer Timeout>
    ? ProcessContext<State, Tx, S, Timeout, Name<S>>
    : never

/** State of a process. */
export type ProcessStateOf<P> = P extends ProcessBuilder<infer State, any, any, any> ? State : never
