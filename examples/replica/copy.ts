// Recipe: a copy of what another service owns, in a table of one's own, and a read that asks the owner where the copy will not do.
import { createProxy } from 'fairlead'
import type { MessageTransport, RpiTransport } from 'fairlead/core'
import { replica, snapshotFrom, sqlReplicaTable } from 'fairlead/messaging'
import { type SqliteFile, sqliteStore } from 'fairlead/sqlite'
import { contractOf, eventsOf, type Value } from './items.ts'

// The columns of the value are nullable: a tombstone holds none.
const tableOf = (name: string) =>
  `create table if not exists ${name}_copy (id text primary key, version bigint not null, gone_at bigint, name text, cents int, country text)`

interface From {
  readonly transport: MessageTransport
  readonly rpi: RpiTransport
}

export async function copyOf(name: string, file: SqliteFile, from: From, keep?: (value: Value) => boolean) {
  await file.execute(tableOf(name), [])
  const owner = createProxy(contractOf(name), { transport: from.rpi, deadlineMs: 1_000 })
  const copy = replica({
    ...{ name, keep, transport: from.transport, channel: eventsOf(name), group: `orders.${name}` },
    store: sqliteStore(file),
    table: sqlReplicaTable(file, {
      table: `${name}_copy`,
      columns: { name: 'text', cents: 'number', country: 'text' },
    }),
    changes: {
      changed: ({ data: { id, version, ...value } }) => ({ key: id, version, value }),
      gone: ({ data: { id, version } }) => ({ key: id, version, gone: true }),
    },
    snapshot: snapshotFrom((request, { signal }) => owner.snapshot(request, { signal })),
  })
  const ask = async (key: unknown) => (await owner.find({ id: String(key) })).item
  // How old is still good enough is for the reader to say.
  const read = (id: string, maxAgeMs: number) => copy.read(id, { maxAgeMs, otherwise: ask })
  return { copy, read }
}
