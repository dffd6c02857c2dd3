// The four ways, and the run of which the guide tells.
import type { Flow } from './flow.ts'
import { asynchronous } from './flow-async.ts'
import { chain } from './flow-chain.ts'
import { finish } from './flow-finish.ts'
import { replica } from './flow-replica.ts'
import type { Setting } from './simulate.ts'

export const FLOWS: readonly Flow[] = [chain(), replica, asynchronous, finish]

/** Each service is down 0.5 % of the time, 30 s at a time: 100,000 s of virtual time, and seventeen outages of each. */
export const STANDARD: Setting = { seed: 1, orders: 10_000, everyMs: 10_000, downShare: 0.005, meanDownMs: 30_000 }
