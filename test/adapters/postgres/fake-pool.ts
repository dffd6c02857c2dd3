// A pool of `pg` that answers as a test says: for what a real server does too rarely, or never on command.
import { EventEmitter } from 'node:events'
import type { PgClient, PgQuery, PgResult } from '../../../src/adapters/postgres/index.ts'

/** Answers one statement: a result, an error to throw, or a promise of one of them (of none: it hangs). */
export type Answer = (text: string) => PgResult | Error | Promise<PgResult | Error> | undefined

export const done = (command: string): PgResult => ({ rows: [], rowCount: 0, command })

/** A client that says its transaction status as pg does. */
export class FakeClient extends EventEmitter implements PgClient {
  readonly seen: string[] = []
  readonly connection: EventEmitter = new EventEmitter()
  status = 'I'
  released: (Error | boolean | undefined)[] = []
  readonly #answer: Answer

  constructor(answer: Answer) {
    super()
    this.#answer = answer
  }

  getTransactionStatus(): string {
    return this.status
  }

  async query({ text }: PgQuery): Promise<PgResult> {
    this.seen.push(text)
    const answer = (await this.#answer(text)) ?? done(text.toUpperCase())
    if (answer instanceof Error) {
      if (this.status === 'T') this.status = 'E'
      throw answer
    }
    if (text === 'begin') this.status = 'T'
    if (text === 'commit' || text === 'rollback') this.status = 'I'
    return answer
  }

  release(destroy?: Error | boolean): void {
    this.released.push(destroy)
  }

  /** The connection breaks while nobody asks anything. */
  breaks(error: Error): void {
    this.emit('error', error)
  }
}

/** Hands out the clients in order, the last one again and again. */
export const fakePool = (...clients: readonly FakeClient[]): { connect(): Promise<FakeClient>; taken: number } => {
  const pool = {
    taken: 0,
    connect: () => Promise.resolve(clients[Math.min(pool.taken++, clients.length - 1)] as FakeClient),
  }
  return pool
}

/** An error as pg makes it of what the server says. */
export const databaseError = (code: string, message = 'refused', severity = 'ERROR', more: object = {}): Error =>
  Object.assign(new Error(message), { code, severity, routine: 'somewhere', ...more })
