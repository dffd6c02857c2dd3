// What each service stands on: a file of SQLite, the outbox in it, and the relay that carries what was committed there.
import { createOutbox, createRelay } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { openSqlite, type SqliteHandle, type SqliteTx, sqliteStore } from 'fairlead/sqlite'

/** What handlers write with. */
export type Tx = SqliteTx<SqliteHandle>

/** Where a service keeps its things, and what it sends and receives by. */
export interface Place {
  readonly path: string
  readonly transport: MessageTransport
}

export async function openGround(owner: string, { path, transport }: Place, ...tables: readonly string[]) {
  const file = await openSqlite(path)
  for (const table of tables) await file.execute(`create table if not exists ${table}`, [])
  const store = sqliteStore(file, { owner })
  await store.migrate()
  const outbox = createOutbox(store, { source: `/${owner}` })
  const relay = createRelay({
    ...{ outbox, transport },
    backoff: { maxMs: 1_000 }, // a receiver that was down is found within a second of coming back
    leaseMs: 2_000, // what a relay that was killed has held is the next one's after two
    sendTimeoutMs: 1_000, // over HTTP push that includes the work of the receiver
  })
  await relay.start()
  // What nobody has taken by then stays in the outbox.
  const close = (): Promise<void> => relay.close({ withinMs: 1_000 }).then(() => file.close())
  return { file, store, outbox, close }
}

export type Ground = Awaited<ReturnType<typeof openGround>>
