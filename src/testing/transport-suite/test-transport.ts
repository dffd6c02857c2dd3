// The suite in any test runner: one test a case, those left out by name and reason, and at the end whether all that is promised was proven.
import { AssertionError } from 'node:assert'
import type { TestRunner } from '../test-runner.ts'
import type { TransportLab } from './lab.ts'
import {
  capabilitiesIn,
  casesOf,
  explainUnproven,
  judgeClaims,
  runCase,
  type TransportSuiteOptions,
  timeoutOf,
} from './run.ts'

// The runner's own limit must not strike first: ours says what was waited for, and closes.
const MARGIN_MS = 30_000

/**
 * Defines the suite as tests. Resolves once they are defined, so await it at the top level of the test file: the lab is made
 * first, for what is left out depends on what its transports promise and on what can be done to its broker.
 *
 * The last test fails if the descriptor promises something that no case has proven.
 * @param name of the transport
 * @param makeLab makes the lab; it is closed after the last test
 * @param runner functions of the test runner, and options of the suite
 * @example await testTransport('kafka', makeLab, { describe, test, afterAll })
 */
export async function testTransport(
  name: string,
  makeLab: () => TransportLab | Promise<TransportLab>,
  runner: TestRunner & TransportSuiteOptions,
): Promise<void> {
  const { describe, test, skip, afterAll } = runner
  const cases = casesOf(runner)
  const lab = await makeLab()
  const capabilities = await capabilitiesIn(lab).catch(async (error: unknown) => {
    // Nobody will run what closes it.
    await lab.close()
    throw error
  })
  const passed = new Set<string>()
  const failed = new Set<string>()
  const leaveOut = skip ?? ((title: string): unknown => test(title, () => {}))

  describe(`transport ${name}`, () => {
    for (const each of cases) {
      const reason = each.skip(capabilities, lab)
      if (reason !== undefined) {
        leaveOut(`left out: ${each.name} (${reason})`, () => {})
        continue
      }
      const timeoutMs = timeoutOf(each, runner)
      test(
        each.name,
        async () => {
          failed.add(each.name)
          await runCase(each, lab, capabilities, timeoutMs)
          failed.delete(each.name)
          passed.add(each.name)
        },
        timeoutMs + MARGIN_MS,
      )
    }
    test('every declared capability has a passing case', async () => {
      if (afterAll === undefined) await lab.close()
      const { unproven } = judgeClaims(capabilities, cases, passed, runner.only === undefined)
      if (unproven.length === 0) return
      throw new AssertionError({
        message: explainUnproven(unproven, cases, failed),
      })
    })
    afterAll?.(() => lab.close(), MARGIN_MS)
  })
}
