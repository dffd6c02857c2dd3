// One row of the matrix: what a client throws, what fairlead calls it, and how often a caller that obeys `retryable` asks the server.
import { expect } from 'vitest'
import {
  type Code,
  classify,
  type Effect,
  type FairleadError,
  type Hints,
  type Kind,
} from '../../../src/errors/index.ts'
import {
  type Behaviour,
  createFaultServer,
  type FaultServer,
  type FaultServerOptions,
} from '../../../src/testing/fault-server/index.ts'
import type { Ask, Client } from './clients.ts'

/** What is expected of an error. */
export interface Expected {
  readonly kind: Kind
  readonly code: Code
  readonly effect: Effect
  /** `always`: even what is not idempotent; `idempotent`: only that; `never`. */
  readonly retry: 'always' | 'idempotent' | 'never'
}

/** Classifies and compares. */
export function expectError(error: unknown, expected: Expected, hints: Hints = {}): FairleadError {
  const once = classify(error, { ...hints, idempotent: false })
  // A FairleadError is stamped in place, so it is looked at before it is stamped anew.
  const found = { kind: once.kind, code: once.code, effect: once.effect, onceOnly: once.retryable }
  const again = classify(error, { ...hints, idempotent: true })
  const { retry, ...rest } = expected
  expect({ ...found, idempotent: again.retryable }).toEqual({
    ...rest,
    onceOnly: retry === 'always',
    idempotent: retry !== 'never',
  })
  expect(again.message.startsWith(`[${expected.code}] `)).toBe(true)
  return again
}

/** A fault, and what it is to be called. */
export interface Row {
  readonly name: string
  readonly server?: FaultServerOptions | undefined
  readonly behaviour?: Behaviour | undefined
  readonly ask?: Partial<Ask> | undefined
  readonly hints?: Hints | undefined
  readonly clients: readonly Client[]
  readonly expected: Expected
  /** Where a client sees less, or more, than the others. */
  readonly but?: Readonly<Record<string, Partial<Expected>>> | undefined
  /** Where it is up to the machine which of two errors the client gets. */
  readonly adjust?: ((error: unknown) => Partial<Expected>) | undefined
  /** How many requests of each try the server reads. Default 1. */
  readonly requests?: 0 | 1 | undefined
}

const TRIES = 3

/** Asks until it is answered, must not be asked again, or was asked three times. */
async function obey(
  client: Client,
  row: Row,
  server: FaultServer,
  expected: Expected,
  idempotent: boolean,
): Promise<void> {
  let tries = 0
  let resent = 0
  let last: unknown
  for (; tries < TRIES; ) {
    tries++
    try {
      await client.ask({
        url: `${server.url}/row`,
        ca: server.ca,
        method: 'POST',
        body: 'x',
        ...row.ask,
        // A client that sends again by itself shows it here.
        onSent: (times) => {
          if (times > 1) resent++
        },
      })
      throw new Error(`${client.name} saw no failure`)
    } catch (error) {
      last = error
      if (!classify(error, { ...row.hints, idempotent }).retryable) break
    }
  }
  const adjusted = { ...expected, ...row.adjust?.(last) }
  expectError(last, adjusted, row.hints)
  const asked = adjusted.retry === 'always' || (adjusted.retry === 'idempotent' && idempotent) ? TRIES : 1
  expect({ tries, requests: server.seen.requests() }).toEqual({
    tries: asked,
    requests: (row.requests ?? 1) * asked + resent,
  })
}

/** Runs a row through one of its clients: once as an operation that must not be repeated, once as an idempotent one. */
export async function runRow(row: Row, client: Client): Promise<void> {
  for (const idempotent of [false, true]) {
    const server = await createFaultServer(row.server)
    try {
      if (row.behaviour !== undefined) server.otherwise(row.behaviour)
      await obey(client, row, server, { ...row.expected, ...row.but?.[client.name] }, idempotent)
    } finally {
      await server.close()
    }
  }
}

/** Rows times clients, for `test.each`. */
export function cases(rows: readonly Row[]): (readonly [name: string, client: string, row: Row, by: Client])[] {
  return rows.flatMap((row) => row.clients.map((client) => [row.name, client.name, row, client] as const))
}
