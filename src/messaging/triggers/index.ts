// When messages that wait are handled, and a program that is started for them.
export { type BatchOfOptions, batchOf } from './batch-of.ts'
export { type ByPriorityOptions, byPriority } from './by-priority.ts'
export { type EveryOptions, every } from './every.ts'
export { type StartProcessOptions, startProcess } from './start-process.ts'
