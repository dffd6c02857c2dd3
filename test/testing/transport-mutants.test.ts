// The proof of the suite: broken copies of the memory transport, each of which has to fail the very case that is meant for it.
import { describe, expect, it } from 'vitest'
import { runTransportSuite, transportCases } from '../../src/testing/transport-suite/index.ts'
import { deliveringMutants } from './mutants/delivering.ts'
import { boasters, faultMutants, promiseMutants } from './mutants/faults.ts'
import { type Mutant, memoryLab } from './mutants/kit.ts'
import { sendingMutants } from './mutants/sending.ts'
import { settlingMutants } from './mutants/settling.ts'

const mutants: readonly Mutant[] = [
  ...deliveringMutants,
  ...settlingMutants,
  ...sendingMutants,
  ...faultMutants,
  ...promiseMutants,
]
const LIMIT_MS = 60_000
const found = ({ caught, also = [] }: Mutant): readonly string[] => [caught, ...also]

describe('a transport that', () => {
  it.each(mutants.flatMap((mutant) => found(mutant).map((name) => [mutant.what, name, mutant] as const)))(
    '%s fails "%s"',
    async (_what, name, mutant) => {
      expect(transportCases.map((each) => each.name)).toContain(name)
      const { failed } = await runTransportSuite(() => memoryLab(mutant), { only: [name] })
      expect(failed.map((each) => each.name)).toContain(name)
    },
    LIMIT_MS,
  )
})

describe('every case', () => {
  it('is failed by a broken copy', () => {
    const plain = (name: string): string => name.replace(/^(queue|topic): /, '')
    const meant = new Set(mutants.flatMap(found).map(plain))
    const cases = [...new Set(transportCases.map(({ name }) => plain(name)))]
    expect(cases.filter((name) => !meant.has(name)).sort()).toEqual([])
  })
})

describe('a descriptor that', () => {
  it.each(boasters.map((mutant) => [mutant.what, mutant.unproven, mutant] as const))(
    '%s is left with "%s" unproven',
    async (_what, unproven, mutant) => {
      const report = await runTransportSuite(() => ({ ...memoryLab(mutant), patienceMs: 10_000 }))
      expect(report.unproven).toEqual([unproven])
    },
    LIMIT_MS,
  )
})

describe('the transport that they are copies of', () => {
  it(
    'fails nothing, nor does one whose broker keeps all over a restart',
    async () => {
      for (const lab of [memoryLab(), memoryLab({ restart: 'keeps', claims: { persistent: true } })]) {
        const report = await runTransportSuite(() => ({ ...lab, patienceMs: 10_000 }))
        expect(report.failed.map(({ name, error }) => `${name}: ${(error as Error).message}`)).toEqual([])
        expect(report.unproven).toEqual([])
        expect(report.passed.length).toBeGreaterThan(100)
      }
    },
    LIMIT_MS,
  )
})
