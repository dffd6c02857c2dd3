// The conformance suite of sources: the other half of `Source` in core/contracts/source.ts.
import {
  defineLabSuite,
  type LabSuite,
  type LabSuiteOptions,
  type LabSuiteReport,
  runLabSuite,
} from '../suite-runner.ts'
import type { TestRunner } from '../test-runner.ts'
import type { SourceCase } from './case.ts'
import { askingCases } from './cases/asking.ts'
import { closingCases } from './cases/closing.ts'
import { tellingCases } from './cases/telling.ts'
import { troubleCases } from './cases/trouble.ts'
import { type SourceDesk, sourceDeskIn } from './desk.ts'
import type { MakeSourceLab, SourceLab } from './types.ts'

export { type SourceCase, type SourceNeed, sourceCase } from './case.ts'
export type { Heard, SourceDesk, Watched, Word } from './desk.ts'
export type { Looks } from './entries.ts'
export type {
  EndpointState,
  LabTime,
  MakeSourceLab,
  RegistryFaults,
  RegistryStart,
  RegistryTraits,
  SourceLab,
  SourceTraits,
} from './types.ts'

/** What to run, and for how long. */
export type SourceSuiteOptions = LabSuiteOptions<SourceCase>

/** All cases, in the order in which they are run: what others rest on comes first. */
export const sourceCases: readonly SourceCase[] = Object.freeze([
  ...tellingCases,
  ...askingCases,
  ...closingCases,
  ...troubleCases,
])

const suite: LabSuite<SourceLab, SourceDesk> = { what: 'source', cases: sourceCases, deskIn: sourceDeskIn }

/**
 * Runs the suite over the sources of a lab, one case after the other, each in a lab of its own.
 * @param makeLab makes the lab of a case; see `SourceLab`
 */
export function runSourceSuite(makeLab: MakeSourceLab, options: SourceSuiteOptions = {}): Promise<LabSuiteReport> {
  return runLabSuite(suite, makeLab, options)
}

/**
 * Defines the suite as tests, one a case. Resolves once they are defined, so await it at the top level of the test file: one lab is made and
 * closed first, for what is left out depends on its traits and on what can be done to its registry. Cases that are left out say why in their names.
 * @param name of the source
 * @param makeLab makes the lab of one case
 * @param runner functions of the test runner, and options of the suite
 * @example await testSource('eureka', makeLab, { describe, test })
 */
export function testSource(
  name: string,
  makeLab: MakeSourceLab,
  runner: TestRunner & SourceSuiteOptions,
): Promise<void> {
  return defineLabSuite(suite, name, makeLab, runner)
}
