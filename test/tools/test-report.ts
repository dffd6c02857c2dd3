// Counts what one vitest run did, from its JSON report and its exit code.

/** What ran. */
export interface Count {
  readonly passed: number
  readonly failed: number
  /** Names of the tests that did not run. */
  readonly skipped: readonly string[]
}

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

/**
 * The sum of one run. A file that failed before its first test is one failure, and so is a run that ended badly although
 * each of its tests passed (an unhandled rejection, a type error in a source file, a run that wrote no report).
 */
export const countReport = (json: string | undefined, exitCode: number): Count => {
  let passed = 0
  let failed = 0
  const skipped: string[] = []
  const { testResults } = json === undefined ? { testResults: [] } : (JSON.parse(json) as Report)
  for (const file of testResults) {
    const before = failed
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed++
      else if (test.status === 'failed') failed++
      else skipped.push(`${file.name}: ${test.fullName}`)
    }
    if (file.status === 'failed' && failed === before) failed++
  }
  if (exitCode !== 0 && failed === 0) failed = 1
  return { passed, failed, skipped }
}
