// Customers, who belong to one service, and the copy that another one keeps: what the cases of replicas share.
import { z } from 'zod'
import type { Clock } from '../../../src/core/clock.ts'
import type { Store } from '../../../src/core/contracts/store.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { createPublisher, topic } from '../../../src/messaging/index.ts'
import {
  type Replica,
  type ReplicaOptions,
  type ReplicaTable,
  replica,
  type Snapshot,
  type SnapshotPage,
  type SnapshotPosition,
} from '../../../src/messaging/replica/index.ts'

export interface Customer {
  readonly name: string
  readonly country: string
  readonly vip: boolean
  readonly credit: bigint | null
  readonly tags: unknown
}

/** The columns of the table, in a user's own words. */
export const COLUMNS = {
  name: 'text',
  country: { column: 'land "of"', as: 'text' },
  vip: 'boolean',
  credit: 'bigint?',
  tags: 'json',
} as const

export interface Row {
  readonly id: string
  readonly version: number
  readonly name: string | null
  readonly gone: boolean
}

/** One process of the service that keeps the copy. */
export interface Process {
  readonly store: Store<any>
  table(name: string): ReplicaTable<any, Customer>
}

/** Where the cases are run. */
export interface ReplicaLab {
  readonly clock: Clock
  /** Part of names that no other run has had. */
  readonly mark: string
  process(): Promise<Process>
  transport(): MessageTransport
  /** The migration of the user. */
  make(table: string): Promise<void>
  /** By id. */
  rows(table: string): Promise<readonly Row[]>
  /** Whether the database tells that an older version changed nothing. */
  readonly tellsSkipped: boolean
  until(what: () => boolean | Promise<boolean>): Promise<void>
  pass(ms: number): Promise<void>
  close(): Promise<void>
}

export const channelOf = (name: string) =>
  topic(name, {
    'customer.changed': z.object({
      id: z.string(),
      version: z.number().optional(),
      name: z.string(),
      country: z.string(),
      credit: z.string().nullable(),
    }),
    'customer.closed': z.object({ id: z.string(), version: z.number() }),
    'customers.alive': z.object({}),
  })
export type CustomerChannel = ReturnType<typeof channelOf>
export type CustomerTypes = NonNullable<CustomerChannel['definitions']>

export const customer = (name: string, country = 'NL', credit: bigint | null = 7n): Customer => ({
  name,
  country,
  vip: name.length % 2 === 0,
  credit,
  tags: ['a', { name }],
})

export interface Held {
  readonly version: number
  readonly value: Customer | undefined
}

/** The service that owns customers. */
export interface Source {
  readonly all: Map<string, Held>
  /** Changes one and publishes it. */
  change(id: string, value: Customer): Promise<void>
  remove(id: string): Promise<void>
  /** Only the message, of whatever version. */
  tell(id: string, held: { readonly version: number | undefined; readonly value: Customer | undefined }): Promise<void>
  alive(): Promise<void>
  /** Those that are there, by id. */
  rows(): readonly Row[]
  snapshot(options?: SnapshotOptions): Snapshot<Customer>
}

export interface SnapshotOptions {
  readonly pageSize?: number
  readonly position?: () => SnapshotPosition | undefined
  readonly cursors?: boolean
  /** Called before each page, counted from 1. */
  readonly before?: (page: number) => unknown
  /** Called when the entries of a page were read, before it is handed out. */
  readonly read?: (page: number) => unknown
}

export function sourceOf(lab: ReplicaLab, transport: MessageTransport, channel: CustomerChannel): Source {
  const publisher = createPublisher({ transport, source: '/customers', clock: lab.clock })
  const all = new Map<string, Held>()
  const tell: Source['tell'] = async (id, { version, value }) => {
    await publisher.publish(
      channel,
      value === undefined
        ? { type: 'customer.closed', key: id, data: { id, version: version ?? 0 } }
        : {
            type: 'customer.changed',
            key: id,
            data: {
              id,
              version,
              name: value.name,
              country: value.country,
              credit: value.credit === null ? null : String(value.credit),
            },
          },
    )
  }
  const put = async (id: string, value: Customer | undefined): Promise<void> => {
    const held = { version: (all.get(id)?.version ?? 0) + 1, value }
    all.set(id, held)
    await tell(id, held)
  }
  return {
    all,
    tell,
    change: put,
    remove: (id) => put(id, undefined),
    alive: async () => void (await publisher.publish(channel, { type: 'customers.alive', data: {} })),
    rows: () =>
      [...all]
        .filter(([, { value }]) => value !== undefined)
        .map(([id, { version, value }]) => ({ id, version, name: (value as Customer).name, gone: false }))
        .sort((a, b) => (a.id < b.id ? -1 : 1)),
    snapshot: ({ pageSize = 2, position, cursors = false, before, read } = {}) =>
      async function* ({ after }): AsyncGenerator<SnapshotPage<Customer>> {
        let last = after ?? ''
        const stands = position?.()
        for (let page = 1; ; page++) {
          await before?.(page)
          const entries = [...all]
            .filter(([id, { value }]) => id > last && value !== undefined)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .slice(0, pageSize)
            .map(([key, { version, value }]) => ({ key, version, value: value as Customer }))
          last = entries.at(-1)?.key ?? last
          await read?.(page)
          if (entries.length > 0 || page === 1)
            yield {
              entries,
              ...(page === 1 && stands !== undefined ? { position: stands } : {}),
              ...(cursors ? { cursor: last } : {}),
            }
          if (entries.length < pageSize) return
        }
      },
  }
}

export type CustomerReplica = Replica<any, Customer> & { readonly events: PipelineEvent[] }
export type CustomerOptions = ReplicaOptions<CustomerTypes, any, Customer>

/** What `changes` are for customers. */
export const CHANGES: CustomerOptions['changes'] = {
  'customer.changed': ({ data }) => ({
    key: data.id,
    version: data.version as number,
    value: customer(data.name, data.country, data.credit === null ? null : BigInt(data.credit)),
  }),
  'customer.closed': ({ data }) => ({ key: data.id, version: data.version, gone: true }),
  'customers.alive': () => undefined,
}

/** A replica with short waits. */
export function replicaOf(
  lab: ReplicaLab,
  process: Process,
  table: string,
  transport: MessageTransport,
  channel: CustomerChannel,
  options: Partial<CustomerOptions> & Pick<CustomerOptions, 'snapshot'>,
): CustomerReplica {
  const events: PipelineEvent[] = []
  const made = replica<CustomerTypes, any, Customer>({
    name: table.replaceAll(/\W/g, ''),
    store: process.store,
    table: process.table(table),
    transport,
    channel,
    changes: CHANGES,
    lookEveryMs: 50,
    probeEveryMs: 50,
    retries: { immediate: 1, delayedMs: [20, 50] },
    clock: lab.clock,
    onEvent: (event) => events.push(event),
    ...options,
  })
  return Object.assign(made, { events })
}

/** Only what is there. */
export const live = (rows: readonly Row[]): readonly Row[] => rows.filter(({ gone }) => !gone)

/** Waits for work that virtual time has to bring about. Answers, or rejects, as it does. */
export async function ended<T>(lab: Pick<ReplicaLab, 'until'>, work: Promise<T>): Promise<T> {
  let done = false
  const ends = work.finally(() => {
    done = true
  })
  ends.catch(() => undefined)
  await lab.until(() => done)
  return ends
}
