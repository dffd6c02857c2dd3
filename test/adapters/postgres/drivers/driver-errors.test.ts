import { describe, expect, it } from 'vitest'
import { isOfPostgres, sqlStateOf } from '../../../../src/adapters/postgres/classify-postgres.ts'
import { classifyPostgres } from '../../../../src/adapters/postgres/index.ts'
import { databaseError } from '../fake-pool.ts'

const inner = databaseError('23505', 'duplicate key')
const named = (name: string, fields: object): Error => Object.assign(new Error('outside: secret'), { name }, fields)
const prisma = (fields: object): Error => named('PrismaClientKnownRequestError', fields)
const coded = (code: string): Error => Object.assign(new Error(code), { code })

describe('what is around the error of the database', () => {
  it.each([
    [
      'Drizzle',
      Object.assign(new Error('Failed query: insert', { cause: inner }), { query: 'insert', params: ['secret'] }),
    ],
    ['TypeORM', named('QueryFailedError', { query: 'insert', parameters: ['secret'], driverError: inner })],
    [
      'both, one in the other',
      named('QueryFailedError', {
        driverError: Object.assign(new Error('q', { cause: inner }), { query: '', params: [] }),
      }),
    ],
  ])('is left out: %s', (_, error) => {
    const classified = classifyPostgres(error)
    expect(classified).toMatchObject({ code: 'CONFLICT', effect: 'none', details: { sqlState: '23505' } })
    expect(classified.cause).toBe(inner)
    expect(classified.message).toBe('[CONFLICT] duplicate key')
    expect([isOfPostgres(error), sqlStateOf(classified)]).toEqual([true, '23505'])
  })
  it('is left out: Prisma, with and without adapters', () => {
    const cause = { kind: 'UniqueConstraintViolation', originalCode: '23505', originalMessage: 'duplicate key' }
    const all = [
      prisma({ code: 'P2002', meta: { driverAdapterError: named('DriverAdapterError', { cause }) } }),
      named('DriverAdapterError', { cause }),
      prisma({ code: 'P2010', meta: { code: '23505', message: 'duplicate key' } }),
    ]
    for (const error of all)
      expect(classifyPostgres(error)).toMatchObject({
        code: 'CONFLICT',
        effect: 'none',
        message: '[CONFLICT] duplicate key',
        details: { sqlState: '23505' },
      })
  })
  it('is the business of the user where it is the error of the user', () => {
    const mine = Object.assign(new Error('no stock', { cause: inner }), { query: 7 })
    expect(isOfPostgres(mine)).toBe(false)
  })
  it('does not say the values that Knex puts into the message', () => {
    const error = databaseError('23505', `insert into "t" ("a - b") values ('secret - x') - duplicate key`)
    expect(classifyPostgres(error).message).toBe('[CONFLICT] duplicate key')
    expect(classifyPostgres(databaseError('P0001', 'not enough - 5 left')).message).toContain('not enough - 5 left')
  })
})

it.each([
  [coded('CONNECTION_CLOSED'), 'CONNECTION_LOST', 'unknown'],
  [coded('CONNECTION_ENDED'), 'SHUTDOWN', 'none'],
  [coded('CONNECT_TIMEOUT'), 'CONNECT_TIMEOUT', 'none'],
  [coded('UNDEFINED_VALUE'), 'PROGRAMMING_ERROR', 'none'],
  [prisma({ code: 'P2034' }), 'TRANSACTION_CONFLICT', 'none'],
  [prisma({ code: 'P1001' }), 'CONNECTION_REFUSED', 'none'],
  [prisma({ code: 'P1017' }), 'CONNECTION_LOST', 'unknown'],
  [prisma({ code: 'P2024' }), 'SELF_EXHAUSTED', 'none'],
  [
    prisma({
      code: 'P2010',
      meta: { driverAdapterError: named('DriverAdapterError', { cause: { kind: 'DatabaseNotReachable' } }) },
    }),
    'CONNECTION_REFUSED',
    'none',
  ],
  [new Error('Knex: Timeout acquiring a connection. The pool is probably full.'), 'SELF_EXHAUSTED', 'none'],
  [
    new Error('Transaction query already complete, run with DEBUG=knex:tx for more info'),
    'TRANSACTION_REQUIRED',
    'none',
  ],
  [new Error('Transaction is already committed'), 'TRANSACTION_REQUIRED', 'none'],
  [new Error('Transaction is closed'), 'TRANSACTION_REQUIRED', 'none'],
  [new Error('Query runner already released. Cannot run queries anymore.'), 'TRANSACTION_REQUIRED', 'none'],
  [
    new Error(
      'Transaction API error: Transaction already closed: A query cannot be executed on a committed transaction.',
    ),
    'TRANSACTION_REQUIRED',
    'none',
  ],
  [new Error('Transaction API error: A commit cannot be executed on an expired transaction.'), 'TIMED_OUT', 'none'],
  [new Error('Transaction API error: Unable to start a transaction in the given time.'), 'SELF_EXHAUSTED', 'none'],
])('knows %s', (error, code, effect) => {
  expect(classifyPostgres(error)).toMatchObject({ code, effect, transport: 'postgres' })
  expect(isOfPostgres(error)).toBe(true)
})

it('says of COMMIT and of a statement in a transaction what each can say', () => {
  const closed = coded('CONNECTION_CLOSED')
  expect(classifyPostgres(closed, { phase: 'commit' }).effect).toBe('unknown')
  expect(classifyPostgres(closed, { phase: 'transaction' }).effect).toBe('none')
})
