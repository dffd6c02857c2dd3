// A pool of the shape of mysql2/promise whose server does what a test says.
import { EventEmitter } from 'node:events'

export interface FakeConnection extends EventEmitter {
  query(query: { readonly sql: string }): Promise<unknown>
  release(): void
  destroy(): void
  readonly connection: object
  ended: 'no' | 'released' | 'destroyed'
}

/** What the server says to a statement: an answer, or `undefined` for the usual one. */
export type Says = (sql: string, open: boolean) => unknown

export const fakePool = (says: Says = () => undefined) => {
  const log: string[] = []
  const made: FakeConnection[] = []
  const pool = {
    log,
    made,
    async getConnection(): Promise<FakeConnection> {
      let open = false
      const connection = Object.assign(new EventEmitter(), {
        ended: 'no' as FakeConnection['ended'],
        connection: {},
        async query({ sql }: { readonly sql: string }) {
          log.push(sql)
          const said = await says(sql, open)
          if (sql === 'start transaction') open = true
          if (sql === 'commit' || sql === 'rollback') open = false
          return said ?? [{ affectedRows: 0, serverStatus: open ? 3 : 2 }, undefined]
        },
        release() {
          connection.ended = 'released'
        },
        destroy() {
          connection.ended = 'destroyed'
        },
      })
      made.push(connection)
      return connection
    },
  }
  return pool
}
