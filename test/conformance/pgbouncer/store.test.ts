// The PostgreSQL store through PgBouncer in transaction mode: nothing of it may stay in a session.
import { testStore } from 'fairlead/testing'
import { describe, test } from 'vitest'
import { server } from '../../services/servers.ts'
import { storeLab } from '../postgres/store-lab.ts'

const bouncer = server('pgbouncer')
const direct = server('postgres')

await testStore(
  'postgres through PgBouncer',
  () => {
    if (bouncer === undefined || direct === undefined) throw new Error('not up: test/services/up postgres pgbouncer')
    return storeLab(bouncer, { direct })
  },
  { describe, test },
)
