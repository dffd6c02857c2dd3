// What the processes of a chaos run say to each other: what a worker is told at its start, what it is asked for later, and what it reports.
import type { ServerAddress } from '../../services/servers.ts'

export type DatabaseName = 'postgres' | 'mariadb'

export const BROKERS = ['rabbitmq', 'kafka'] as const

export type BrokerName = (typeof BROKERS)[number]

/** The way to a broker. */
export interface BrokerWay {
  readonly kind: BrokerName
  readonly at: ServerAddress
}

/** Deliberate mistakes; each has a file in ../broken. */
export const BREAKAGES = [
  'id-cursor',
  'skip-locked',
  'mark-before-publish',
  'no-fencing',
  'ack-before-commit',
  'lock-after-sequence',
] as const

export type BreakageName = (typeof BREAKAGES)[number]

/** What a worker is told. */
export interface Told {
  readonly role: 'producer' | 'relay' | 'consumer'
  readonly name: string
  readonly database: DatabaseName
  /** The way to the database. */
  readonly at: ServerAddress
  /** A pooler in transaction mode stands between. */
  readonly pooled: boolean
  /** Which messages travel by HTTP push: where consumers listen, by channel; and where this one does. */
  readonly push?:
    | {
        readonly subscribers: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
        readonly port: number
      }
    | undefined
  /** Messages travel through it. */
  readonly broker?: BrokerWay | undefined
  readonly seed: number
  /** Transactions a second of a producer. */
  readonly rate: number
  readonly broken?: BreakageName | undefined
}

/** Where a worker ends itself, or stands still. */
export type Hook = 'kill-before-mark' | 'stop-before-mark' | 'kill-before-ack' | 'stop-before-ack' | 'stop-in-handler'

export type Asked =
  | { readonly do: 'arm'; readonly hook: Hook; readonly partitions?: readonly number[] | undefined }
  /** It tells what it holds. */
  | { readonly do: 'tell' }
  /** The producer ends what it has begun. */
  | { readonly do: 'end' }

export type Reported =
  | { readonly is: 'ready' }
  /** It is about to kill or stop itself. */
  | { readonly is: 'at'; readonly hook: Hook; readonly partitions: readonly number[] }
  /** Partitions with epochs that are new to this relay. */
  | { readonly is: 'leased'; readonly epochs: readonly (readonly [partition: number, epoch: string])[] }
  /** What a relay that stood still before a mark settled when it went on: how many rows, of which partitions under which epochs. */
  | {
      readonly is: 'marked'
      readonly count: number
      readonly rows: readonly (readonly [partition: number, epoch: string])[]
    }
  | { readonly is: 'deadlock'; readonly where: 'transaction' | 'elsewhere'; readonly words: string }
  | { readonly is: 'trouble'; readonly words: string }
  /** What it holds. */
  | { readonly is: 'state'; readonly words: string }

/** Of relays and of messages in hand, milliseconds: short, so that a run sees many of them end. */
export const LEASE_MS = 3_000
