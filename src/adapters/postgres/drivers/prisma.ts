// fairlead over Prisma with the provider `postgresql`.
import type { SqlResult } from '../../../core/contracts/store.ts'
import { durationOption, invalidOption } from '../../../core/options.ts'
import { unwrapped } from '../driver-errors.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'
import { answersRows } from './statement.ts'

/** What is used of a client of Prisma, by shape. */
export interface PrismaDatabase extends PrismaQueries {
  readonly $transaction: (...args: any[]) => Promise<any>
}

/** What client and transaction of Prisma share. */
export interface PrismaQueries {
  $queryRawUnsafe(query: string, ...values: any[]): PromiseLike<any>
  $executeRawUnsafe(query: string, ...values: any[]): PromiseLike<any>
}

/** The transaction type of a client: `Prisma.TransactionClient`, which a client itself is not. */
export type PrismaTx<P> = P extends {
  $transaction: { (list: any, options?: any): any; (work: (tx: infer Tx) => any, options?: any): any }
}
  ? Tx & { readonly $connect?: never }
  : never

/** How Prisma is used. */
export interface PrismaDriverOptions extends PostgresDriverOptions {
  /** How long a transaction may take before Prisma rolls it back (its `timeout`). Default 5,000, as Prisma has it. */
  readonly transactionWithinMs?: number | undefined
}

/**
 * Speaks through Prisma (5 or later), by interactive transactions. `connectWithinMs` is Prisma's `maxWait` as well.
 *
 * One round trip more a transaction, because Prisma does not tell that COMMIT rolled back. It listens where `listener` is given.
 * Columns of type `void` are unknown to Prisma: a statement that gives only those answers no rows.
 * @example const driver = prismaDriver(new PrismaClient({ adapter }))
 */
export function prismaDriver<P extends PrismaDatabase>(
  prisma: P,
  options: PrismaDriverOptions = {},
): PostgresDriver<PrismaTx<P>> {
  if (typeof prisma?.$transaction !== 'function' || isPrismaTx(prisma))
    throw invalidOption('prisma', prisma, 'give a client of Prisma')
  const maxWait = durationOption('connectWithinMs', options.connectWithinMs, 30_000)
  const timeout = durationOption('transactionWithinMs', options.transactionWithinMs, 5_000)
  type Tx = PrismaTx<P> & PrismaQueries
  return createPreset<Tx>(
    {
      name: 'prismaDriver',
      begin: (work) => prisma.$transaction(work, { maxWait, timeout }),
      isOpen: isPrismaTx,
      run,
      runAlone: (text, params) => run(prisma, text, params),
      silentRollback: true,
    },
    options,
    ['transactionWithinMs'],
  ) as PostgresDriver<PrismaTx<P>>
}

// Prisma 7 and those before mark a transaction each in their own way.
const SCOPE = Symbol.for('prisma.client.transaction.scope_context')
const ID = Symbol.for('prisma.client.transaction.id')

/** Whether it is over Prisma says only when it is asked to do something, and then it does nothing. */
function isPrismaTx(candidate: object): boolean {
  const { $queryRawUnsafe, [SCOPE]: scope, [ID]: id } = candidate as Readonly<Record<string | symbol, unknown>>
  if (typeof $queryRawUnsafe !== 'function') return false
  return typeof id === 'string' || (scope as { readonly kind?: unknown } | undefined)?.kind === 'nested'
}

async function run(on: PrismaQueries, text: string, params: readonly unknown[]): Promise<SqlResult> {
  if (!answersRows(text)) return { rows: [], affected: await on.$executeRawUnsafe(text, ...params) }
  try {
    const rows = (await on.$queryRawUnsafe(text, ...params)) as readonly Record<string, unknown>[]
    return { rows, affected: rows.length }
  } catch (error) {
    const { kind, type } = (unwrapped(error) ?? {}) as { readonly kind?: unknown; readonly type?: unknown }
    // It has been run: Prisma fails only at reading what came back.
    if (kind === 'UnsupportedNativeDataType' && type === 'void') return { rows: [], affected: 1 }
    throw error
  }
}
