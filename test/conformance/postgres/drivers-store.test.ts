// The store over each driver: parameters and results take another way in each of them.
import { testStore } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { DRIVER_CASES, driverLabs } from '../../adapters/postgres/drivers/store-lab.ts'
import { SUBJECTS } from '../../adapters/postgres/drivers/subjects.ts'
import { type ServerAddress, server } from '../../services/servers.ts'

for (const subject of SUBJECTS) {
  const opened = await subject.open(server('postgres') as ServerAddress)
  const { lab, end } = driverLabs(subject, opened)
  afterAll(async () => {
    await end()
    await opened.driver.close()
    await opened.close()
  })
  await testStore(`over ${subject.name}`, lab, { describe, test, only: DRIVER_CASES })
}
