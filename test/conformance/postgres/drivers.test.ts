// All drivers on a real PostgreSQL.
import { Client } from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeDriver } from '../../adapters/postgres/drivers/driver-suite.ts'
import { SUBJECTS } from '../../adapters/postgres/drivers/subjects.ts'
import { type ServerAddress, server } from '../../services/servers.ts'
import { poolOf } from './ground.ts'

const address = server('postgres') as ServerAddress
let admin: ReturnType<typeof poolOf>
beforeAll(() => {
  admin = poolOf('postgres', { max: 2 })
})
afterAll(() => admin.end())

for (const subject of SUBJECTS)
  describeDriver(
    subject,
    () => address,
    async (text) => (await admin.query(text)).rows,
  )

it.each(SUBJECTS.filter(({ listens }) => !listens))(
  '$name listens on a connection that it is given',
  async (subject) => {
    const states: string[] = []
    const { driver, close } = await subject.open(address, {
      listener: () => new Client({ ...address, user: 'postgres', database: 'postgres' }),
      onListenState: ({ state }) => states.push(state),
    })
    let hear: () => void = () => undefined
    const woken = new Promise<void>((resolve) => (hear = resolve))
    const stop = await driver.listen?.('given', () => hear())
    await driver.execute('select pg_notify($1, $2)', ['given', ''])
    await woken
    expect(states).toEqual(['listening'])
    await stop?.()
    await driver.close()
    await close()
  },
)
