// Processes (sagas): work of several services that takes a while, and is undone step by step where it cannot be finished.
export { defineProcess } from './define.ts'
export { type Explanation, explain } from './explain.ts'
export { listProcesses, type OperatedPlace, showProcess } from './operating.ts'
export type { ProcessRow, ProcessStatus } from './row.ts'
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
  Found,
  Listening,
  Process,
  ProcessBuilder,
  ProcessContext,
  ProcessOptions,
  Replying,
  SendOptions,
  Starting,
  StepFacts,
  StepOptions,
  StepStatus,
  Steps,
  UndoOptions,
} from './types.ts'
