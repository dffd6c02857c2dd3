// All cases, in the order in which they are run: what others rest on comes first.
import type { StoreCase } from '../case.ts'
import { checkpointCases } from './checkpoints.ts'
import { deadCases } from './dead.ts'
import { doneStateCases } from './done-states.ts'
import { idempotencyCases } from './idempotency.ts'
import { inboxCases } from './inbox.ts'
import { leaseCases } from './leases.ts'
import { migratingCases } from './migrating.ts'
import { orderCases } from './order.ts'
import { pendingCases } from './pending.ts'
import { settlingCases } from './settling.ts'
import { stateCases } from './states.ts'
import { transactionCases } from './transactions.ts'
import { valueCases } from './values.ts'

/** All cases of the suite. */
export const storeCases: readonly StoreCase[] = Object.freeze([
  ...transactionCases,
  ...orderCases,
  ...valueCases,
  ...leaseCases,
  ...pendingCases,
  ...settlingCases,
  ...deadCases,
  ...inboxCases,
  ...idempotencyCases,
  ...stateCases,
  ...doneStateCases,
  ...checkpointCases,
  ...migratingCases,
])
