// What is used of the `mysql2/promise` package, by shape: no type of a vendor is in our declarations, and any pool of this shape will do.

/** One statement as mysql2 takes it; how rows come back is said with each, whatever the pool is set to. */
export interface Mysql2Query {
  readonly sql: string
  readonly rowsAsArray: false
  readonly nestTables: false
  readonly namedPlaceholders: false
  readonly typeCast: (field: any, next: () => unknown) => unknown
}

/** A connection that was taken out of a pool. */
export interface Mysql2Connection {
  query(query: any): Promise<any>
  release(): void
  /** Closes it at once, and takes it out of its pool. */
  destroy(): void
  on(event: string, listener: (error: Error) => void): unknown
  removeListener(event: string, listener: (error: Error) => void): unknown
}

/** A pool of `mysql2/promise`. */
export interface Mysql2Pool {
  getConnection(): Promise<Mysql2Connection>
}

/** The connection type of a pool: what handlers get as their transaction. `Pool` of `mysql2/promise` gives `PoolConnection`. */
export type Mysql2Tx<P> = P extends { getConnection(): Promise<infer C> } ? C : never
