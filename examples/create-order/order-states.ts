// What is known of an order: one row for each state that it was ever in. The number of a state is its ETag, and its id in a stream of events.
import { OrderEvents, type Status } from './channels.ts'
import type { Ground, Tx } from './ground.ts'

export const STATES = `order_states (order_id text not null, version integer not null, status text not null, reason text,
  primary key (order_id, version))`

export interface OrderState {
  readonly version: number
  readonly status: Status
  readonly reason?: string | undefined
}

/** It changes no more. */
export const isOver = ({ status }: OrderState): boolean => status === 'VALIDATED' || status === 'REJECTED'

/** Moves an order on: its next state, and the news of it, in the transaction at hand. */
export type Move = (tx: Tx, orderId: string, status: Status, reason?: string) => Promise<void>

export function moving(outbox: Ground['outbox']): Move {
  return async (tx, orderId, status, reason) => {
    const known = 'select coalesce(max(version), 0) as version from order_states where order_id = ?'
    const version = Number((tx.prepare(known).get(orderId) as { version: number | bigint }).version) + 1
    tx.prepare('insert into order_states values (?, ?, ?, ?)').run(orderId, version, status, reason ?? null)
    await outbox.publish(tx, OrderEvents, {
      type: 'order.moved',
      key: orderId,
      data: { orderId, version, status, ...(reason === undefined ? {} : { reason }) },
    })
  }
}

/** Reads the states of an order after one that is known, in order. */
export type StatesOf = (orderId: string, after: number) => Promise<readonly OrderState[]>

export function reading(file: Ground['file']): StatesOf {
  return async (orderId, after) => {
    const text = 'select version, status, reason from order_states where order_id = ? and version > ? order by version'
    const { rows } = await file.execute(text, [orderId, after])
    return rows.map(({ version, status, reason }) => ({
      version: Number(version),
      status: status as Status,
      ...(reason === null ? {} : { reason: String(reason) }),
    }))
  }
}
