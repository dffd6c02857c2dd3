// The positions of a store are those of every CheckpointStore: the same cases.
import { checkpointCases as casesOfCheckpoints } from '../../checkpoint-suite.ts'
import { type StoreCase, storeCase } from '../case.ts'

export const checkpointCases: readonly StoreCase[] = casesOfCheckpoints.map(({ name, run }) =>
  storeCase(`checkpoints: ${name}`, ({ open, lab, clock, leaseMs, pass }) =>
    run({ open: async () => (await open()).checkpoints, clock, leaseMs, ...(lab.pass === undefined ? {} : { pass }) }),
  ),
)
