// What becomes of processes (sagas), as typed events; on the same listener and channel as those of calls.
import type { FairleadError } from '../errors/base.ts'

/** Which process an event is about. */
export interface ProcessFacts {
  /** Its name. */
  readonly process: string
  readonly id: string
}

/** Everything that the runner of a process tells, each after the commit. Durations are milliseconds. */
export type ProcessEvent =
  | (ProcessFacts & { readonly type: 'process-started'; readonly version: number })
  /** It has failed, and what was done is being undone. */
  | (ProcessFacts & { readonly type: 'process-undoing'; readonly reason: string })
  /** It does not go on by itself: nobody knows what became of a step, or one cannot be undone. An answer that still comes, or an operator (`resume`), has it go on. */
  | (ProcessFacts & { readonly type: 'process-stuck'; readonly step: string; readonly why: string })
  | (ProcessFacts & {
      readonly type: 'process-ended'
      readonly status: 'completed' | 'failed' | 'cancelled'
      readonly elapsedMs: number
    })
  /**
   * Nothing came of a message: its process is over (`over`); nobody waits for it any more (`late`); it is being undone (`undoing`); it would have begun one that there is already (`again`);
   * the version of its process does not listen to it (`version`); there is none (`missing`).
   */
  | {
      readonly type: 'process-dropped'
      readonly process: string
      readonly id?: string
      readonly why: 'over' | 'late' | 'undoing' | 'again' | 'version' | 'missing'
      /** Id of the message. */
      readonly message: string
      readonly messageType: string
    }
  /** The store could not be asked for processes whose time has come, or one not be woken. It is tried again. */
  | { readonly type: 'process-scan-failed'; readonly process: string; readonly error: FairleadError }
  /** Rows of processes that are over were deleted (`keepDoneMs`). */
  | { readonly type: 'process-purged'; readonly process: string; readonly count: number }
  /** They could not be deleted. It is tried again. */
  | { readonly type: 'process-purge-failed'; readonly process: string; readonly error: FairleadError }
