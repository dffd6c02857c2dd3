// The right registrar passes the whole suite, and nothing is left out.
import { describe, expect, it, test } from 'vitest'
import { registrarCases, testRegistrar } from '../../../src/testing/registrar-suite/index.ts'
import { memoryRegistrarLab } from '../mutants/registry-kit.ts'

await testRegistrar('in memory', () => memoryRegistrarLab(), { describe, test })

describe('the suite for registrars', () => {
  it('has names of their own for its cases', () => {
    expect(new Set(registrarCases.map(({ name }) => name)).size).toBe(registrarCases.length)
  })

  it('leaves nothing out over a registry that can do everything', () => {
    const lab = memoryRegistrarLab()
    expect(registrarCases.map((each) => each.skip(lab)).filter((reason) => reason !== undefined)).toEqual([])
  })
})
