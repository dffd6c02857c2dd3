// What the conformance suites ask of a test runner: little enough for any.

/** The functions of a test runner: of vitest, jest, mocha or node:test. */
export interface TestRunner {
  readonly describe: (name: string, work: () => void) => unknown
  readonly test: (name: string, work: () => void | Promise<void>, timeoutMs?: number) => unknown
  /** Defines a test that is left out. Default: one that passes and says in its name that it was left out. */
  readonly skip?: ((name: string, work: () => void | Promise<void>) => unknown) | undefined
  /** Runs something after the last test (`after` of node:test). Default: the last test does it. */
  readonly afterAll?: ((work: () => Promise<void>, timeoutMs?: number) => unknown) | undefined
}
