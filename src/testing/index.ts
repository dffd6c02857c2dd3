// fairlead/testing: what users test their own services with. A server that breaks on demand and counts, a clock that is turned by hand, chance that repeats.
export * from '../adapters/memory/rpi.ts'
export * from './checkpoint-suite.ts'
export * from './compatible/index.ts'
export * from './fake-clock.ts'
export * from './fault-server/index.ts'
export * from './seeded-random.ts'
export * from './transport-suite/index.ts'
