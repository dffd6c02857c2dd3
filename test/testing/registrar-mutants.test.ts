// The proof of the suite for registrars: broken copies of a registrar, each of which has to fail the very cases that are meant for it.
import { describe, expect, it } from 'vitest'
import { registrarCases, runRegistrarSuite } from '../../src/testing/registrar-suite/index.ts'
import { endMutants } from './mutants/registrar-ends.ts'
import { entryMutants } from './mutants/registrar-entries.ts'
import { memoryRegistrarLab, type RegistrarMutant } from './mutants/registry-kit.ts'

const mutants: readonly RegistrarMutant[] = [...entryMutants, ...endMutants]

describe('a registrar that', () => {
  it.each(mutants.flatMap((mutant) => mutant.caught.map((name) => [mutant.what, name, mutant] as const)))(
    '%s fails "%s"',
    async (_what, name, { make }) => {
      expect(registrarCases.map((each) => each.name)).toContain(name)
      const { failed } = await runRegistrarSuite(() => memoryRegistrarLab(make), { only: [name], timeoutMs: 5_000 })
      expect(failed.map((each) => each.name)).toContain(name)
    },
  )
})

describe('every case for registrars', () => {
  it('is failed by a broken copy', () => {
    const meant = new Set(mutants.flatMap(({ caught }) => caught))
    expect(registrarCases.map(({ name }) => name).filter((name) => !meant.has(name))).toEqual([])
  })
})
