// The same service as in test/adapters/same-shop.test.ts, on PostgreSQL.
import { expect, test } from 'vitest'
import { sameShop } from '../../messaging/same-shop.ts'
import { server } from '../../services/servers.ts'
import { postgresLab } from './postgres-lab.ts'

test('on PostgreSQL', async () => {
  const address = server('postgres')
  if (address === undefined) throw new Error('PostgreSQL is not up')
  const lab = await postgresLab(address)
  expect(await sameShop(await lab.open(), await lab.open())).toBeUndefined()
  await lab.close()
})
