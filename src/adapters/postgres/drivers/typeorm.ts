// fairlead over TypeORM with a DataSource of type `postgres`.
import { invalidOption } from '../../../core/options.ts'
import { queryOf, resultOf } from '../pg-client.ts'
import type { PgClient } from '../pg-types.ts'
import { createPreset, type PostgresDriver, type PostgresDriverOptions } from './preset.ts'

/** What is used of a DataSource of TypeORM, by shape. */
export interface TypeormDataSource {
  readonly transaction: (...args: any[]) => Promise<any>
  createQueryRunner(): TypeormQueryRunner
}

/** What is used of a QueryRunner, by shape. */
export interface TypeormQueryRunner {
  connect(): Promise<any>
  release(): Promise<void>
  readonly isTransactionActive: boolean
  readonly isReleased: boolean
}

/** The transaction type of a DataSource: `EntityManager`. */
export type TypeormTx<D> = D extends {
  transaction: { (work: (tx: infer Tx) => Promise<any>): any; (isolation: any, work: any): any }
}
  ? Tx
  : never

/**
 * Speaks through TypeORM (0.3 or later). `dataSource.manager` has the type of a transaction and is none: types cannot tell, so it fails with
 * `TRANSACTION_REQUIRED`. It listens where `listener` is given.
 * @example const driver = typeormDriver(dataSource)
 */
export function typeormDriver<D extends TypeormDataSource>(
  dataSource: D,
  options: PostgresDriverOptions = {},
): PostgresDriver<TypeormTx<D>> {
  if (typeof dataSource?.createQueryRunner !== 'function' || typeof dataSource.transaction !== 'function')
    throw invalidOption('dataSource', dataSource, 'give a DataSource of TypeORM')
  type Tx = TypeormTx<D> & object
  return createPreset<Tx>(
    {
      name: 'typeormDriver',
      begin: (work) => dataSource.transaction(work),
      isOpen: isTypeormTx,
      // It has its connection already; this is the way to it.
      clientOf: (tx) => runnerOf(tx)?.connect() as Promise<PgClient>,
      async runAlone(text, params, shown) {
        const runner = dataSource.createQueryRunner()
        try {
          const client = (await runner.connect()) as PgClient
          shown(client)
          return resultOf(await client.query(queryOf(text, params)))
        } finally {
          await runner.release()
        }
      },
    },
    options,
  ) as PostgresDriver<TypeormTx<D>>
}

function isTypeormTx(candidate: object): boolean {
  const runner = runnerOf(candidate)
  return runner !== undefined && runner.isTransactionActive === true && !runner.isReleased
}

function runnerOf(manager: object): TypeormQueryRunner | undefined {
  const { queryRunner } = manager as { readonly queryRunner?: unknown }
  return typeof queryRunner === 'object' && queryRunner !== null ? (queryRunner as TypeormQueryRunner) : undefined
}
