// The conformance suite of registrars: the other half of `Registrar` in core/contracts/source.ts.
import {
  defineLabSuite,
  type LabSuite,
  type LabSuiteOptions,
  type LabSuiteReport,
  runLabSuite,
} from '../suite-runner.ts'
import type { TestRunner } from '../test-runner.ts'
import type { RegistrarCase } from './case.ts'
import { announcingCases } from './cases/announcing.ts'
import { keepingCases } from './cases/keeping.ts'
import { leavingCases } from './cases/leaving.ts'
import { troubleCases } from './cases/trouble.ts'
import { type RegistrarDesk, registrarDeskIn } from './desk.ts'
import type { MakeRegistrarLab, RegistrarLab } from './types.ts'

export { type RegistrarCase, type RegistrarNeed, registrarCase } from './case.ts'
export type { RegistrarDesk } from './desk.ts'
export { type MortalClock, mortalClock } from './mortal-clock.ts'
export type { MakeRegistrarLab, RegistrarLab, RegistrarTraits } from './types.ts'

/** What to run, and for how long. */
export type RegistrarSuiteOptions = LabSuiteOptions<RegistrarCase>

/** All cases, in the order in which they are run: what others rest on comes first. */
export const registrarCases: readonly RegistrarCase[] = Object.freeze([
  ...announcingCases,
  ...keepingCases,
  ...leavingCases,
  ...troubleCases,
])

const suite: LabSuite<RegistrarLab, RegistrarDesk> = {
  what: 'registrar',
  cases: registrarCases,
  deskIn: registrarDeskIn,
}

/**
 * Runs the suite over the registrars of a lab, one case after the other, each in a lab of its own.
 * @param makeLab makes the lab of a case; see `RegistrarLab`
 */
export function runRegistrarSuite(
  makeLab: MakeRegistrarLab,
  options: RegistrarSuiteOptions = {},
): Promise<LabSuiteReport> {
  return runLabSuite(suite, makeLab, options)
}

/**
 * Defines the suite as tests, one a case. Resolves once they are defined, so await it at the top level of the test file: one lab is made and
 * closed first, for what is left out depends on its traits and on what can be done to its registry. Cases that are left out say why in their names.
 * @param name of the registrar
 * @param makeLab makes the lab of one case
 * @param runner functions of the test runner, and options of the suite
 * @example await testRegistrar('eureka', makeLab, { describe, test })
 */
export function testRegistrar(
  name: string,
  makeLab: MakeRegistrarLab,
  runner: TestRunner & RegistrarSuiteOptions,
): Promise<void> {
  return defineLabSuite(suite, name, makeLab, runner)
}
