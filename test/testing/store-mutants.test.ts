// The proof of the suite for stores: broken copies of the memory store, each of which has to fail the very cases that are meant for it.
import { describe, expect, it } from 'vitest'
import { runStoreSuite, storeCases } from '../../src/testing/store-suite/index.ts'
import { doneStateMutants } from './mutants/store-done-states.ts'
import { inboxMutants } from './mutants/store-inbox.ts'
import { memoryStoreLab, type StoreMutant } from './mutants/store-kit.ts'
import { leaseMutants } from './mutants/store-leases.ts'
import { orderMutants } from './mutants/store-order.ts'
import { rowMutants } from './mutants/store-rows.ts'
import { settlingStoreMutants } from './mutants/store-settling.ts'
import { stateMutants, tableMutants } from './mutants/store-states.ts'
import { transactionMutants } from './mutants/store-transactions.ts'

const mutants: readonly StoreMutant[] = [
  ...transactionMutants,
  ...orderMutants,
  ...rowMutants,
  ...leaseMutants,
  ...settlingStoreMutants,
  ...inboxMutants,
  ...stateMutants,
  ...doneStateMutants,
  ...tableMutants,
]

describe('a store that', () => {
  it.each(mutants.flatMap((mutant) => mutant.caught.map((name) => [mutant.what, name, mutant] as const)))(
    '%s fails "%s"',
    async (_what, name, { make, lab }) => {
      expect(storeCases.map((each) => each.name)).toContain(name)
      const { failed } = await runStoreSuite(() => memoryStoreLab(make, lab), { only: [name], timeoutMs: 5_000 })
      expect(failed.map((each) => each.name)).toContain(name)
    },
  )
})

describe('every case', () => {
  it('is failed by a broken copy', () => {
    const meant = new Set(mutants.flatMap(({ caught }) => caught))
    // The cases of positions have broken copies of their own.
    const cases = storeCases.map(({ name }) => name).filter((name) => !name.startsWith('checkpoints: '))
    expect(cases.filter((name) => !meant.has(name)).sort()).toEqual([])
  })
})
