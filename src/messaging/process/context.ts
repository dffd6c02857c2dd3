// What handlers of a process are given, and what they may do with it.
import type { TransactionContext } from '../consumer/types.ts'
import type { Channel, DataIn, MessageTypeDefinition, MessageTypes, Publishable } from '../types.ts'

/** Steps of a process by name: the types of message that they send. */
export type Steps = Readonly<Record<string, MessageTypeDefinition>>

/** Their names. */
export type Name<S extends Steps> = keyof S & string

/**
 * How a step stands. `none`: it was not sent. `open`: it was, and there is no answer. `unknown`: nor was there one in time, so nobody knows whether it was done.
 */
export type StepStatus = 'none' | 'open' | 'unknown' | 'done' | 'refused'

/** What is known when a step is to be asked about, or undone. */
export interface StepFacts<Sent, State> {
  /** Of the process. */
  readonly id: string
  readonly state: State
  /** What was sent. */
  readonly sent: Sent
  /** Of a step that is sent for several things: which one. */
  readonly of: string | undefined
}

/**
 * What an answer to a question says: the step was done, it was not and never will be, or nobody can say yet. `refused` fails the process, unless the step was settled with `settle` before: then it goes on
 * with whatever else was done.
 */
export type Found = 'done' | 'refused' | 'unknown'

/** What may be said of a step that is sent. */
export interface SendOptions {
  /** Which of several: a step may be open once for each. */
  readonly of?: string | undefined
  /** Messages of one key keep their order. Default: the id of the process. */
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * What a handler does the process with. All of it, and the state, is written in the transaction of the message (`tx`): it happens once, or not at all. A handler may be called again with another
 * transaction, because the database undid the first: what it does elsewhere may happen more than once.
 */
export interface ProcessContext<State, Tx, S extends Steps, Timeout extends string, Sends extends Name<S> = Name<S>> {
  readonly id: string
  /** Change it, or set another one. It is validated and written when the handler is done. */
  state: State
  /** For rows of the service's own. */
  readonly tx: Tx
  /** Ids, signal and deadline of this call. */
  readonly context: TransactionContext<Tx>
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** It has failed, and what was done is being undone: nothing is sent or begun any more, whatever is asked for. */
  readonly undoing: boolean
  /** Sends the command of a step, which is open then. @throws FairleadError `PROGRAMMING_ERROR` where it is open already */
  send<N extends Sends>(step: N, data: DataIn<S[N]>, options?: SendOptions): void
  /** Publishes a message that nobody answers. */
  publish<T extends MessageTypes>(channel: Channel<T>, message: Publishable<NoInfer<T>>): void
  /** Has a timeout come in so many milliseconds; one of the same name that was set before does not. */
  timeout(name: Timeout, ms: number): void
  cancelTimeout(name: Timeout): void
  /** Other names by which messages find this process while it runs; they replace those of before. */
  correlate(...names: readonly string[]): void
  /** How a step stands. */
  is(step: Name<S>, of?: string): StepStatus
  /** Says what became of a step that is open or unknown, where somebody knows. */
  settle(step: Name<S>, as: 'done' | 'refused', of?: string): void
  /** Ends the process well. Answers that still come are dropped. */
  complete(): void
  /** Gives it up: what was done is undone, in reverse order. What is open or unknown is found out first, and never undone blindly. */
  fail(reason: string): void
}
