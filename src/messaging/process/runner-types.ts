// What users give to the runner of a process, and get from it.
import type { StateStore } from '../../core/contracts/store.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import type { Describable } from '../../core/describe.ts'
import type { Closable } from '../../core/lifecycle.ts'
import type { ConsumerCommonOptions, ConsumerHealth } from '../consumer/types.ts'
import type { InboxPlace } from '../inbox/types.ts'
import type { InnerConsumerOptions } from '../inner-consumer.ts'
import type { Outbox } from '../outbox/types.ts'
import type { MessageTypes } from '../types.ts'
import type { ProcessRow, ProcessStatus } from './row.ts'
import type { Process } from './types.ts'

/** What a process needs of a store: transactions, the inbox, and the part that keeps states. */
export interface ProcessPlace<Tx> extends InboxPlace<Tx> {
  readonly states: StateStore<Tx>
}

/** Options of a runner. Those of consumers hold for each of its consumers. */
export interface ProcessRunnerOptions<Tx>
  extends InnerConsumerOptions<Tx>,
    Pick<ConsumerCommonOptions<MessageTypes>, 'unknownType' | 'unhandledType'> {
  readonly process: Process<any, NoInfer<Tx>>
  readonly store: ProcessPlace<Tx>
  /** Of the same store. Its relay carries what the process sends. */
  readonly outbox: Outbox<Tx>
  /** Where messages come in. It has to have queues, and topics if the process listens to one. It is not closed with the runner. */
  readonly transport: MessageTransport
  /** Under which it listens to topics. Default `process.` and the name of the process. */
  readonly group?: string | undefined
  /** Name of its own queue, for replies and timeouts. Default `process.` and the name of the process. */
  readonly queue?: string | undefined
  /**
   * How often the store is asked for processes whose time has come, milliseconds: those of other processes of the service, and what operators want. The own ones are looked for when their time comes.
   * `false`: not by this one. Default 5,000.
   */
  readonly scanEveryMs?: number | false | undefined
  /**
   * How long the row of a process that is over is kept, milliseconds; then it is deleted, in batches, about every `purgeEveryMs` (every 10 minutes where that is `false`). What `show` and `list` say
   * of it is gone then, and a message that would begin it begins it anew: so it is at least as long as the inbox of the store remembers messages (`inbox.retentionMs`), for as long a message may still come.
   * Default: for ever.
   */
  readonly keepDoneMs?: number | undefined
}

/** A process as it is shown. */
export interface ProcessView {
  readonly id: string
  readonly version: number
  readonly status: ProcessStatus
  readonly stuck: { readonly step: string; readonly why: string } | undefined
  readonly reason: string | undefined
  readonly state: unknown
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** Milliseconds since 1970. */
  readonly changedAt: number
  /** All that is kept of it. */
  readonly row: Readonly<ProcessRow>
}

/** Which processes are listed. */
export interface ProcessListOptions {
  /** Default 100. */
  readonly limit?: number | undefined
  /** By id: those after this one. */
  readonly after?: string | undefined
  /** Default: those that are not over. */
  readonly status?: ProcessStatus | 'stuck' | 'all' | undefined
}

/** What an operator says of steps whose fate nobody knew: by name (of several: `name/of`). */
export type SettledByHand = Readonly<Record<string, 'done' | 'refused'>>

/** Figures of this runner; they only grow. */
export interface ProcessStats {
  readonly started: number
  /** Messages that changed a process. */
  readonly handled: number
  readonly completed: number
  /** They began to be undone. */
  readonly undoing: number
  readonly failed: number
  readonly cancelled: number
  /** They ceased to go on by themselves. */
  readonly stuck: number
  /** Messages of which nothing came: see the event `process-dropped`. */
  readonly dropped: number
  /** Rows that this runner deleted, of processes that were over: see `keepDoneMs`. */
  readonly purged: number
}

/** Runs a process: takes its messages, and looks after its times. Any number of them may run. */
export interface ProcessRunner extends Closable, Describable {
  readonly name: string
  /**
   * Resolves once all its subscriptions stand.
   * @throws FairleadError what the transport says; `SHUTDOWN` after `close`
   */
  start(): Promise<void>
  list(options?: ProcessListOptions): Promise<readonly ProcessView[]>
  show(id: string): Promise<ProcessView | undefined>
  /**
   * Has a process that is stuck go on: it asks again, or sends again what undoes a step. What was found out by hand is given as `settle`. Done by the next scan.
   * @returns false where there is none that goes on
   */
  resume(id: string, settle?: SettledByHand): Promise<boolean>
  /** Fails a process: what was done is undone. Done by the next scan. @returns false where there is none that goes on */
  cancel(id: string, reason?: string): Promise<boolean>
  stats(): ProcessStats
  /** Of each of its consumers, by channel. */
  health(): Readonly<Record<string, ConsumerHealth>>
  /** Takes nothing more, lets handlers end, then aborts them. Processes stay as they are: they are in the store. */
  close(options?: { readonly withinMs?: number | undefined }): Promise<void>
}
