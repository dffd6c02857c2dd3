// The right sources pass the whole suite, by polling and by waiting, and nothing is left out.
import { describe, expect, it, test } from 'vitest'
import { sourceCases, testSource } from '../../../src/testing/source-suite/index.ts'
import { memorySource, memorySourceLab } from '../mutants/registry-kit.ts'

await testSource('in memory, polling', () => memorySourceLab(), { describe, test })
await testSource(
  'in memory, waiting at the registry',
  () => memorySourceLab((world) => memorySource(world, { mode: 'wait' }), 'wait'),
  {
    describe,
    test,
  },
)

describe('the suite for sources', () => {
  it('has names of their own for its cases', () => {
    expect(new Set(sourceCases.map(({ name }) => name)).size).toBe(sourceCases.length)
  })

  it('leaves nothing out over a registry that can do everything', () => {
    const lab = memorySourceLab()
    expect(sourceCases.map((each) => each.skip(lab)).filter((reason) => reason !== undefined)).toEqual([])
  })
})
