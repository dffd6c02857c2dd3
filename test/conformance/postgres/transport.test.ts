// The PostgreSQL transport against the suite of the contract, on a server that is stopped, killed, cut off and silenced.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { troubledLab } from './postgres-lab.ts'

await testTransport('PostgreSQL', () => troubledLab(false), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
