// What users may say of a PostgreSQL transport.
import type { Clock, Random } from '../../../core/clock.ts'

/** Options of a PostgreSQL transport. All may be left out. */
export interface PostgresTransportOptions {
  /** In errors and events. Default `postgres`. */
  readonly name?: string | undefined
  /** Where the tables are; `migrate(driver, { schema })` makes them. Default `fairlead`. */
  readonly schema?: string | undefined
  /** For how long a message is held, unless it is extended, before it is handed to somebody else. By the clock of the database. Default 30,000. */
  readonly leaseMs?: number | undefined
  /** How often to look for messages when nothing came for long, one query for all receivers of the transport. Just after something came it looks more often. Default 500. */
  readonly pollMs?: number | undefined
  /**
   * Whether receivers in other processes are woken by NOTIFY, at most 40 times a second for each channel and sender; they listen on one connection of their own.
   * Where notifications do not come through (PgBouncer), polling alone finds the messages. Default true.
   */
  readonly notify?: boolean | undefined
  /** How long a topic that `prepare` makes keeps its messages for replay; those that a group still waits for stay longer. Default 86,400,000 (a day). */
  readonly retentionMs?: number | undefined
  /**
   * Whether a settlement waits until it is on the disk. Without, a crash of the database server (not of this process) forgets those of its last
   * moments (under a second), and the messages come again. Default false.
   */
  readonly durableSettles?: boolean | undefined
  /** Of attributes, headers and body together. Default 1 MiB; PostgreSQL could hold a few hundred. */
  readonly maxPayloadBytes?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** Their names. */
export const OPTIONS: readonly (keyof PostgresTransportOptions)[] = [
  'name',
  'schema',
  'leaseMs',
  'pollMs',
  'notify',
  'retentionMs',
  'durableSettles',
  'maxPayloadBytes',
  'clock',
  'random',
]
