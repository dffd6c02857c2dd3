// Processes (sagas): work of several services that takes a while, and is undone step by step where it cannot be finished.
export type { Found, ProcessContext, SendOptions, StepFacts, StepStatus, Steps } from './context.ts'
export { defineProcess } from './define.ts'
export { type Explanation, explain } from './explain.ts'
export type { ProcessContextOf, ProcessStateOf } from './infer.ts'
export { listProcesses, type OperatedPlace, showProcess } from './operating.ts'
export type { ProcessRow, ProcessStatus, StepRow, TimerRow, UndoRow, Wish } from './row.ts'
export { createProcessRunner } from './runner.ts'
export type {
  ProcessListOptions,
  ProcessPlace,
  ProcessRunner,
  ProcessRunnerOptions,
  ProcessStats,
  ProcessView,
  SettledByHand,
} from './runner-types.ts'
export type {
  AskOptions,
  Listening,
  Process,
  ProcessBuilder,
  ProcessOptions,
  Replying,
  Sending,
  Starting,
  StepOptions,
  UndoOptions,
} from './types.ts'
