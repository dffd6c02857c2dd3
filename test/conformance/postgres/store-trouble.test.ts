// The store on a server of its own that is killed: what was committed is there, and nothing else.
import { testStore } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { startPostgres } from '../../services/postgres-instance.ts'
import { storeLab } from './store-lab.ts'

// Safe against a crash, because the restart is one.
const instance = await startPostgres({ fsync: 'on', full_page_writes: 'on', max_connections: '200' })
afterAll(() => instance.remove())

await testStore('postgres that is killed', () => storeLab(instance, { restart: () => instance.restart('immediate') }), {
  describe,
  test,
  only: ['death of the database'],
})
