// Counts what one vitest run did, from its JSON report and its exit code.
import { isAbsolute, relative } from 'node:path'
import { root } from './project.ts'

/** What ran. */
export interface Count {
  readonly passed: number
  readonly failed: number
  /** Names of the tests that did not run. */
  readonly skipped: readonly string[]
  /** Each failure by name, with the beginning of what it said: the one thing a reader of a long log looks for. */
  readonly failures: readonly string[]
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message?: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/** Lines of a failure that are repeated at the end of the log: the message and where it was raised. */
const linesOfFailure = 12

const told = (name: string, messages: readonly string[]): string =>
  [name, ...messages.flatMap((message) => message.split('\n').slice(0, linesOfFailure))].join('\n  ')

/**
 * The sum of one run. A file that failed before its first test is one failure, and so is a run that ended badly although
 * each of its tests passed (an unhandled rejection, a type error in a source file, a run that wrote no report).
 */
export const countReport = (json: string | undefined, exitCode: number): Count => {
  let passed = 0
  let failed = 0
  const skipped: string[] = []
  const failures: string[] = []
  const { testResults } = json === undefined ? { testResults: [] } : (JSON.parse(json) as Report)
  for (const file of testResults) {
    const before = failed
    const path = isAbsolute(file.name) ? relative(root, file.name) : file.name
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++
      else if (test.status === 'failed') {
        failed++
        failures.push(told(`${path}: ${test.fullName}`, test.failureMessages ?? []))
      } else skipped.push(`${path}: ${test.fullName}`)
    }
    if (file.status === 'failed' && failed === before) {
      failed++
      failures.push(told(path, [file.message ?? '']))
    }
  }
  if (exitCode !== 0 && failed === 0) {
    failed = 1
    failures.push(`the run ended with ${exitCode} although no test of it failed: an unhandled error, see above`)
  }
  return { passed, failed, skipped, failures }
}
