// The PostgreSQL transport through PgBouncer in transaction mode: no session is its own, and no notification comes through.
import { testTransport } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { troubledLab } from '../postgres/postgres-lab.ts'

await testTransport('PostgreSQL through PgBouncer', () => troubledLab(true), {
  describe,
  test,
  skip: test.skip,
  timeoutMs: 120_000,
  afterAll,
})
