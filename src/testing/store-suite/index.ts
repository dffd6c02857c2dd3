// The conformance suite of stores: the other half of core/contracts/store.ts.

export type { StoreCase, StoreNeed } from './case.ts'
export { storeCase } from './case.ts'
export { storeCases } from './cases/index.ts'
export type { AnyStore, Desk, DeskRelay, RowSpec, Verdict } from './desk.ts'
export type { ForeignTransaction, StoreLab, StoreOpenOptions } from './lab.ts'
export { type MakeStoreLab, runStoreSuite, type StoreSuiteOptions, type StoreSuiteReport } from './run.ts'
export { testStore } from './test-store.ts'
