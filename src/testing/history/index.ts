// A judge for what a system did under faults: loss, repetition, order, cause, invention.
export * from './check-history.ts'
export * from './checker.ts'
export * from './types.ts'
