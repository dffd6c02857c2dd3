import { expect, it } from 'vitest'
import { countReport } from './test-report.ts'

const report = (...files: readonly { status: string; tests: readonly string[] }[]): string =>
  JSON.stringify({
    testResults: files.map(({ status, tests }, index) => ({
      name: `file-${index}`,
      status,
      assertionResults: tests.map((test, at) => ({ status: test, fullName: `test ${at}` })),
    })),
  })

it('adds up passed and failed tests over files', () => {
  const json = report(
    { status: 'passed', tests: ['passed', 'passed'] },
    { status: 'failed', tests: ['passed', 'failed'] },
  )
  expect(countReport(json, 1)).toMatchObject({ passed: 3, failed: 1, skipped: [] })
})

it('counts a file that failed before its first test', () => {
  expect(countReport(report({ status: 'failed', tests: [] }), 1).failed).toBe(1)
})

it('counts a run that ended badly although every test passed', () => {
  expect(countReport(report({ status: 'passed', tests: ['passed'] }), 1)).toMatchObject({ passed: 1, failed: 1 })
})

it('counts a run without a report', () => {
  expect(countReport(undefined, 1).failed).toBe(1)
})

it('names what did not run', () => {
  expect(countReport(report({ status: 'passed', tests: ['skipped'] }), 0).skipped).toEqual(['file-0: test 0'])
})

it('repeats what failed, with what it said', () => {
  const json = JSON.stringify({
    testResults: [
      {
        name: 'file-0',
        status: 'failed',
        assertionResults: [{ status: 'failed', fullName: 'adds', failureMessages: ['expected 3\n    at sum'] }],
      },
      { name: 'file-1', status: 'failed', message: 'no such module', assertionResults: [] },
    ],
  })
  expect(countReport(json, 1).failures).toEqual([
    'file-0: adds\n  expected 3\n      at sum',
    'file-1\n  no such module',
  ])
  expect(countReport(undefined, 7).failures).toEqual([expect.stringContaining('7')])
})
