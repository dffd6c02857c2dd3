// What is used of the `pg` package, by shape: no type of a vendor is in our declarations, and any pool of this shape will do.

/** One statement as `pg` takes it. */
export interface PgQuery {
  readonly text: string
  readonly values?: unknown[]
  readonly types?: { getTypeParser(oid: any, format?: any): any }
}

/** What `pg` answers. Of several statements in one text it is a list of these. */
export interface PgResult {
  readonly rows: readonly Record<string, unknown>[]
  readonly rowCount: number | null
  /** The command tag: `SELECT`, `COMMIT`, `ROLLBACK`. */
  readonly command?: string
}

/** A client that was taken out of a pool. */
export interface PgClient {
  query(query: PgQuery): Promise<PgResult>
  /** With `true` or an error the connection is closed instead of kept. */
  release(destroy?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** A pool of `pg`. */
export interface PgPool {
  connect(): Promise<PgClient>
}

/** A connection of its own for LISTEN. */
export interface PgListenClient {
  connect(): Promise<unknown>
  query(query: PgQuery): Promise<PgResult>
  end(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'end', listener: () => void): unknown
  on(event: 'notification', listener: (message: { readonly channel: string }) => void): unknown
}

/** The client type of a pool: what handlers get as their transaction. `Pool` of `pg` gives `PoolClient`. */
export type PgTx<P> = P extends { connect: { (): Promise<infer C>; (callback: any): any } }
  ? C
  : P extends { connect(): Promise<infer C> }
    ? C
    : never
