import { testStore } from 'fairlead/testing'
import { describe, test } from 'vitest'
import { mariadbAddress } from './mariadb-lab.ts'
import { storeLab } from './store-lab.ts'

await testStore('mariadb', () => storeLab(mariadbAddress()), { describe, test })
