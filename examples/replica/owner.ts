// Recipe: the owner of data that others keep copies of. Each change and its message are one commit; snapshots are handed out page by page.
import { createOutbox, createRelay, createServerAdapter } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { serveSnapshot } from 'fairlead/messaging'
import { openSqlite, sqliteStore } from 'fairlead/sqlite'
import { contractOf, eventsOf, Item, type Value } from './items.ts'

const TABLE = 'create table if not exists items (id text primary key, version int, name text, cents int, country text)'
const CHANGE = `insert into items values (?, 1, ?, ?, ?) on conflict (id) do update set version = version + 1,
  name = excluded.name, cents = excluded.cents, country = excluded.country returning *`

export async function owner(name: string, path: string, transport: MessageTransport) {
  const file = await openSqlite(path)
  const store = sqliteStore(file, { owner: name })
  await store.migrate()
  await file.execute(TABLE, [])
  const outbox = createOutbox(store)
  const relay = createRelay({ outbox, transport })
  await relay.start()
  const items = async (where: string, ...params: unknown[]) =>
    (await file.execute(`select * from items where ${where}`, params)).rows.map((row) => Item.parse(row))
  const snapshot = serveSnapshot({
    async read({ after = '', limit }) {
      const page = await items('id > ? order by id limit ?', after, limit)
      return page.map(({ id, version, ...value }) => ({ key: id, version, value }))
    },
  })
  const adapter = createServerAdapter(contractOf(name), {
    find: async ({ id }) => ({ item: (await items('id = ?', id))[0] }),
    snapshot: (request) => snapshot(request),
  })
  const change = (id: string, value: Value) =>
    store.transaction(async (tx) => {
      const [row] = tx.prepare(CHANGE).all(id, value.name, value.cents, value.country)
      await outbox.publish(tx, eventsOf(name), { type: 'changed', key: id, data: Item.parse(row) })
    })
  return { adapter, change, close: () => relay.close().then(() => file.close()) }
}
