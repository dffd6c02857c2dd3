// The proof of the suite for sources: broken copies of a source, each of which has to fail the very cases that are meant for it.
import { describe, expect, it } from 'vitest'
import { runSourceSuite, sourceCases } from '../../src/testing/source-suite/index.ts'
import { memorySourceLab, type SourceMutant } from './mutants/registry-kit.ts'
import { askingMutants, endingMutants } from './mutants/source-asking.ts'
import { tellingMutants } from './mutants/source-telling.ts'

const mutants: readonly SourceMutant[] = [...tellingMutants, ...askingMutants, ...endingMutants]

describe('a source that', () => {
  it.each(mutants.flatMap((mutant) => mutant.caught.map((name) => [mutant.what, name, mutant] as const)))(
    '%s fails "%s"',
    async (_what, name, { make }) => {
      expect(sourceCases.map((each) => each.name)).toContain(name)
      const { failed } = await runSourceSuite(() => memorySourceLab(make), { only: [name], timeoutMs: 5_000 })
      expect(failed.map((each) => each.name)).toContain(name)
    },
  )
})

describe('every case for sources', () => {
  it('is failed by a broken copy', () => {
    const meant = new Set(mutants.flatMap(({ caught }) => caught))
    expect(sourceCases.map(({ name }) => name).filter((name) => !meant.has(name))).toEqual([])
  })
})
