// A process that writes to a file shared with others, without end, and says what was committed, until it is killed.
import { openSqlite, sqliteStore } from '../../../src/adapters/sqlite/index.ts'

const [path = '', name = ''] = process.argv.slice(2)
const store = sqliteStore(await openSqlite(path, { synchronous: 'normal' }))
for (let count = 0; ; count++) {
  const ids = [0, 1, 2].map((part) => `${name}/${count}/${part}`)
  await store.transaction(async (tx) => {
    for (const id of ids) tx.prepare('insert into effect (id) values (?)').run(id)
    // The lock is held across turns of the event loop, as by a handler that waits for something.
    await new Promise((resolve) => setImmediate(resolve))
    await store.outbox.append(
      tx,
      ids.map((id, part) => ({
        channel: { kind: 'queue', name: 'orders' },
        envelope: { id, key: `${name}/${part % 2}`, attributes: {}, headers: {}, body: new Uint8Array(count % 2_000) },
      })),
    )
  })
  process.stdout.write(`${count}\n`)
}
