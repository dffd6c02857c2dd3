// The suite in any test runner: one test a case, and those left out by name and reason.
import type { TestRunner } from '../test-runner.ts'
import { abilitiesOf, casesOf, type MakeStoreLab, runCase, type StoreSuiteOptions, timeoutOf } from './run.ts'

// The runner's own limit must not strike first: ours says what was waited for, and closes.
const MARGIN_MS = 30_000

/**
 * Defines the suite as tests. Resolves once they are defined, so await it at the top level of the test file: one lab is made and closed
 * first, for what is left out depends on what can be done in it. Each test has a lab of its own.
 * @param name of the store
 * @param makeLab makes the lab of one case: tables of its own, made and empty
 * @param runner functions of the test runner, and options of the suite
 * @example await testStore('postgres', makeLab, { describe, test })
 */
export async function testStore(
  name: string,
  makeLab: MakeStoreLab,
  runner: TestRunner & StoreSuiteOptions,
): Promise<void> {
  const { describe, test, skip } = runner
  const cases = casesOf(runner)
  const abilities = await abilitiesOf(makeLab)
  const leaveOut = skip ?? ((title: string): unknown => test(title, () => {}))
  describe(`store ${name}`, () => {
    for (const each of cases) {
      const reason = each.skip(abilities)
      if (reason !== undefined) {
        leaveOut(`left out: ${each.name} (${reason})`, () => {})
        continue
      }
      const timeoutMs = timeoutOf(each, runner)
      test(each.name, () => runCase(each, makeLab, timeoutMs), timeoutMs + MARGIN_MS)
    }
  })
}
