// crashTest: a user's own code under thousands of crash schedules, before production does it.
export type { CrashServer } from './contracts.ts'
export { type CrashTestReport, crashTest } from './crash-test.ts'
export { CrashTestFailure } from './failure.ts'
export { type MemoryFacts, memoryStage } from './memory-stage.ts'
export type { CrashFaultKind, CrashShard, CrashTestOptions } from './options.ts'
export type { Fault as CrashFault, FaultKind as CrashFaultStep, Schedule as CrashSchedule } from './schedule.ts'
export { type SqlFacts, type SqlStageOptions, type StageDriver, sqlStage } from './sql-stage.ts'
export type { DatabaseStage, StageContext, StageDatabase, StageLife, StageStep } from './stage.ts'
export type {
  CrashClient,
  CrashClientOptions,
  CrashDatabase,
  CrashMemoryDatabase,
  CrashOptions,
  CrashParty,
  CrashService,
  CrashStepOptions,
  CrashWorld,
} from './types.ts'
