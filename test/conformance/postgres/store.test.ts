import { testStore } from 'fairlead/testing'
import { describe, test } from 'vitest'
import { server } from '../../services/servers.ts'
import { storeLab } from './store-lab.ts'

const at = server('postgres')

await testStore(
  'postgres',
  () => {
    if (at === undefined) throw new Error('PostgreSQL is not up: test/services/up postgres')
    return storeLab(at)
  },
  { describe, test },
)
