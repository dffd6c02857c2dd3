// What users give to a process (a saga) and get from it.
import type { AnySchema, InputOf, OutputOf } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Channel, DataIn, MessageOf, MessageTypes, ReplyOut, RequestFailure, RequestFailureOut } from '../types.ts'
import type { Found, Name, ProcessContext, StepFacts, Steps } from './context.ts'

/** A process as a runner takes it. */
export interface Process<State = any, Tx = any> {
  readonly name: string
  readonly version: number
  /** What was written down. For runners and `explain` only. */
  readonly definition: object
  /** Only for the compiler. */
  readonly takes?: ((tx: Tx, state: State) => void) | undefined
}

/** Options of a process. */
export interface ProcessOptions<S extends AnySchema> {
  /** Schema of its state. It has to take what it gives (no transformations), and what it gives has to be JSON. */
  readonly state: S & (OutputOf<S> extends InputOf<S> ? unknown : never)
  /** Counted from 1; a process that is running keeps the one that it began with. Default 1. */
  readonly version?: number | undefined
  /** The same process as it was: for those that began with it. */
  readonly earlier?: readonly Process[] | undefined
  /** From version n to n + 1 of the state: those that are running are moved on, with their next message. Where there is none, they go on under `earlier`. */
  readonly move?: Readonly<Record<number, (state: any) => unknown>> | undefined
}

/** Options of a step. */
export interface StepOptions {
  /** How long an answer may take, milliseconds; then it is `unknown`. It may be weeks. Default: as long as it takes. */
  readonly withinMs?: number | undefined
}

/** How to ask. */
export interface AskOptions {
  /** From one question to the next, milliseconds. Default: `withinMs` of the step, else 30,000. */
  readonly everyMs?: number | undefined
  /** So often, then it stays unknown. Default 10. */
  readonly times?: number | undefined
}

/** How to undo. */
export interface UndoOptions {
  /** Where it is answered: how long that may take, milliseconds; then the process is stuck, until it is. Default: as long as it takes. */
  readonly withinMs?: number | undefined
}

/** Which steps a handler sends; others do not compile. Default: any; but then `explain` cannot say which. */
export interface Sending<Sends extends string> {
  readonly sends?: readonly Sends[] | undefined
}

/** How a process begins. */
export interface Starting<Message, Context, State, Sends extends string> extends Sending<Sends> {
  /** Names the process for good. At most 180 characters. */
  readonly id: (message: Message) => string
  readonly state: (message: Message) => State
  readonly handle?: ((message: Message, process: Context) => unknown) | undefined
  /** A message for a process that there is already. `handle`: it runs, without a new state, as with any other message. Default `drop`. */
  readonly again?: 'drop' | 'handle' | undefined
}

/** What a message of others means to a process. */
export interface Listening<Message, Context, Step extends string, Sends extends string> extends Sending<Sends> {
  /** Id of the process. One of `id` and `correlation`; where there is neither, its id is looked for in the correlation id of the message, where answers have it. */
  readonly id?: ((message: Message) => string) | undefined
  /** One of the names that it gave to `correlate`. */
  readonly correlation?: ((message: Message) => string) | undefined
  /** It says that this step was done. Dropped where that is not open. */
  readonly answers?: Step | undefined
  /** It says that this step was not done, and never will be. */
  readonly refuses?: Step | undefined
  /** It says that this step is undone. The next one is undone only then. */
  readonly undoes?: Step | undefined
  /** It says that this step cannot be undone: the process is stuck. */
  readonly cannotUndo?: Step | undefined
  /** Of a step that is sent for several things: which one. */
  readonly of?: ((message: Message) => string) | undefined
  /** Where there is no such process (yet). `retry`: tried again later, then dead. Default `retry`. */
  readonly missing?: 'retry' | 'drop' | 'dead' | undefined
  readonly handle?: ((message: Message, process: Context) => unknown) | undefined
}

/** What is done with replies to a step that is a request. */
export interface Replying<D, Context, Sends extends string> extends Sending<Sends> {
  /** It was done. */
  readonly reply?: ((reply: ReplyOut<D>, process: Context) => unknown) | undefined
  /** It was not, with a failure that the channel declares. Default: the process fails. */
  readonly failure?: ((...failed: FailedWith<D, Context>) => unknown) | undefined
  /** An error that is not declared, and `error.effect` is none or done; with one that is unknown, so is the step. Default: the process fails. */
  readonly error?: ((error: FairleadError, process: Context) => unknown) | undefined
}

type FailedWith<D, Context> = {
  readonly [N in RequestFailure<D>]: [name: N, data: RequestFailureOut<D, N>, process: Context]
}[RequestFailure<D>]

/**
 * A process being written down; at any time it can be run as far as it goes. Each method gives a new one. Name steps and timeouts before the handlers that use them: what was not named does not compile.
 */
export interface ProcessBuilder<State, Tx, S extends Steps, Timeout extends string> extends Process<State, Tx> {
  /** For the compiler: of which kind the transactions of the store are. */
  using<Own>(): ProcessBuilder<State, Own, S, Timeout>
  /**
   * A command to others. It is answered by a message (`answers`, `refuses`), or, where its type declares a reply, by that.
   */
  step<const N extends string, T extends MessageTypes, K extends keyof T & string>(
    name: N extends Name<S> ? never : N,
    channel: Channel<T>,
    type: K,
    options?: StepOptions,
  ): ProcessBuilder<State, Tx, S & { readonly [name in N]: T[K] }, Timeout>
  /** The command that undoes a step. What it says is kept with the process as soon as the step is done. */
  undo<N extends Name<S>, T extends MessageTypes, K extends keyof T & string>(
    step: N,
    channel: Channel<T>,
    type: K,
    data: (step: StepFacts<DataIn<S[N]>, State>) => DataIn<T[K]>,
    options?: UndoOptions,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /**
   * How to ask what became of a step whose answer did not come. `found` says what its reply means; a type without one is answered by a message (`answers`, `refuses`).
   */
  ask<N extends Name<S>, T extends MessageTypes, K extends keyof T & string>(
    step: N,
    channel: Channel<T>,
    type: K,
    data: (step: StepFacts<DataIn<S[N]>, State>) => DataIn<T[K]>,
    ...more: T[K] extends { readonly reply: AnySchema }
      ? [
          found: (reply: ReplyOut<T[K]>, process: ProcessContext<State, Tx, S, Timeout>) => Found | Promise<Found>,
          options?: AskOptions,
        ]
      : [options?: AskOptions]
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** What begins one. There may be several. */
  starts<T extends MessageTypes, K extends keyof T & string, Sends extends Name<S> = Name<S>>(
    channel: Channel<T>,
    type: K,
    start: Starting<MessageOf<T, K>, ProcessContext<State, Tx, S, Timeout, Sends>, State, Sends>,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** What it listens to. */
  on<T extends MessageTypes, K extends keyof T & string, Sends extends Name<S> = Name<S>>(
    channel: Channel<T>,
    type: K,
    listening: Listening<MessageOf<T, K>, ProcessContext<State, Tx, S, Timeout, Sends>, Name<S>, Sends>,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** What is done with replies to a step whose type declares one. */
  onReply<N extends Name<S>, Sends extends Name<S> = Name<S>>(
    step: S[N] extends { readonly reply: AnySchema } ? N : never,
    replying: Replying<S[N], ProcessContext<State, Tx, S, Timeout, Sends>, Sends>,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** Names a timeout, and says what is done when it comes. */
  onTimeout<const N extends string, Sends extends Name<S> = Name<S>>(
    name: N,
    handle: (process: ProcessContext<State, Tx, S, Timeout | N, Sends>) => unknown,
    options?: Sending<Sends>,
  ): ProcessBuilder<State, Tx, S, Timeout | N>
  /** What is done when nobody knows what became of a step: no answer in time, and none to the questions. Default: the process is stuck until one comes, or somebody says (`resume`). */
  onUnknown<N extends Name<S>, Sends extends Name<S> = Name<S>>(
    step: N,
    handle: (process: ProcessContext<State, Tx, S, Timeout, Sends>) => unknown,
    options?: Sending<Sends>,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** A handler threw an error that will not go away (and is no fault of the program). What it wrote is undone first. Default: the process fails with it. */
  onError(
    handle: (error: FairleadError, process: ProcessContext<State, Tx, S, Timeout>) => unknown,
  ): ProcessBuilder<State, Tx, S, Timeout>
  /** The last word of a process that has failed, when everything is undone. */
  onUndone(
    handle: (reason: string, process: ProcessContext<State, Tx, S, Timeout>) => unknown,
  ): ProcessBuilder<State, Tx, S, Timeout>
}
