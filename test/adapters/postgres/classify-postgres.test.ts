import { describe, expect, it } from 'vitest'
import { classifyPostgres } from '../../../src/adapters/postgres/index.ts'
import { createError } from '../../../src/errors/index.ts'
import { databaseError } from './fake-pool.ts'

describe('by SQLSTATE', () => {
  it.each([
    ['40001', 'TRANSACTION_CONFLICT', 'none', true],
    ['40P01', 'TRANSACTION_CONFLICT', 'none', true],
    ['55P03', 'TRANSACTION_CONFLICT', 'none', true],
    ['53300', 'UNAVAILABLE', 'none', true],
    ['53200', 'UNAVAILABLE', 'none', true],
    ['57P03', 'UNAVAILABLE', 'none', true],
    ['57P01', 'CONNECTION_LOST', 'unknown', true],
    ['57P02', 'CONNECTION_LOST', 'unknown', true],
    ['57P05', 'CONNECTION_LOST', 'none', true],
    ['08006', 'CONNECTION_LOST', 'unknown', true],
    ['08007', 'CONNECTION_LOST', 'unknown', true],
    ['40003', 'CONNECTION_LOST', 'unknown', true],
    ['28P01', 'UNAUTHENTICATED', 'none', false],
    ['28000', 'UNAUTHENTICATED', 'none', false],
    ['42501', 'FORBIDDEN', 'none', false],
    ['42P01', 'NOT_FOUND', 'none', false],
    ['3F000', 'NOT_FOUND', 'none', false],
    ['3D000', 'NOT_FOUND', 'none', false],
    ['42883', 'NOT_FOUND', 'none', false],
    ['42601', 'BAD_REQUEST', 'none', false],
    ['22P02', 'UNPROCESSABLE', 'none', false],
    ['23502', 'UNPROCESSABLE', 'none', false],
    ['23514', 'UNPROCESSABLE', 'none', false],
    ['23503', 'CONFLICT', 'none', false],
    ['23505', 'CONFLICT', 'none', false],
    ['23P01', 'CONFLICT', 'none', false],
    ['25006', 'MISDIRECTED', 'none', true],
    ['25P03', 'TIMED_OUT', 'none', true],
    ['54000', 'PAYLOAD_TOO_LARGE', 'none', false],
    ['0A000', 'NOT_SUPPORTED', 'none', false],
    ['26000', 'BAD_REQUEST', 'none', false],
    ['P0001', 'UNPROCESSABLE', 'none', false],
    ['58030', 'SERVER_ERROR', 'none', true],
    ['XX000', 'SERVER_ERROR', 'none', true],
    ['XX001', 'SERVER_ERROR', 'none', false],
    ['ZZ123', 'SERVER_ERROR', 'none', true],
  ])('%s is %s, effect %s', (state, code, effect, transient) => {
    expect(classifyPostgres(databaseError(state))).toMatchObject({
      code,
      effect,
      transient,
      transport: 'postgres',
      details: { sqlState: state },
    })
  })
  it('does not call a FATAL it does not know harmless', () => {
    expect(classifyPostgres(databaseError('XX000', 'bad', 'FATAL'))).toMatchObject({ effect: 'unknown' })
    expect(classifyPostgres(databaseError('ZZ123', 'bad', 'PANIC'))).toMatchObject({ effect: 'unknown' })
  })
  it('tells a timeout from a cancel', () => {
    const cancelled = (message: string) => classifyPostgres(databaseError('57014', message)).code
    expect(cancelled('canceling statement due to statement timeout')).toBe('TIMED_OUT')
    expect(cancelled('canceling statement due to user request')).toBe('CANCELLED')
  })
  it('says overload of a server that has too much', () => {
    expect(classifyPostgres(databaseError('53300')).overload).toBe(true)
  })
  it('names constraint, table and column, and never a value', () => {
    const error = databaseError('23505', 'duplicate key', 'ERROR', {
      constraint: 'orders_pkey',
      table: 'orders',
      schema: 'shop',
      detail: 'Key (card)=(4111) already exists.',
    })
    const failure = classifyPostgres(error)
    expect(failure.details).toEqual({ sqlState: '23505', constraint: 'orders_pkey', table: 'orders', schema: 'shop' })
    expect(JSON.stringify(failure)).not.toContain('4111')
    expect(failure.cause).toBe(error)
  })
})

describe('by words, where there is no state', () => {
  it.each([
    ['Connection terminated unexpectedly', 'CONNECTION_LOST', 'unknown'],
    ['Connection terminated', 'CONNECTION_LOST', 'unknown'],
    ['Connection terminated due to connection timeout', 'CONNECT_TIMEOUT', 'none'],
    ['timeout expired', 'CONNECT_TIMEOUT', 'none'],
    ['timeout exceeded when trying to connect', 'SELF_EXHAUSTED', 'none'],
    ['Client has encountered a connection error and is not queryable', 'CONNECTION_LOST', 'none'],
    ['Client was closed and is not queryable', 'CONNECTION_LOST', 'none'],
    ['Query read timeout', 'TIMED_OUT', 'unknown'],
    ['Cannot use a pool after calling end on the pool', 'SHUTDOWN', 'none'],
    ['The server does not support SSL connections', 'TLS_FAILED', 'none'],
    ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', 'UNAUTHENTICATED', 'none'],
  ])('"%s" is %s, effect %s', (message, code, effect) => {
    expect(classifyPostgres(new Error(message))).toMatchObject({ code, effect, transport: 'postgres' })
  })
  it.each([
    ['query_wait_timeout', 'UNAVAILABLE', 'none'],
    ['no more connections allowed (max_client_conn)', 'UNAVAILABLE', 'none'],
    ['pgbouncer cannot connect to server', 'CONNECTION_REFUSED', 'none'],
    ['server login has been failing, try again later (server_login_retry)', 'CONNECTION_REFUSED', 'none'],
    ['server conn crashed?', 'CONNECTION_LOST', 'unknown'],
    ['server closed the connection unexpectedly', 'CONNECTION_LOST', 'unknown'],
    ['query_timeout', 'TIMED_OUT', 'unknown'],
    ['no such database: x', 'NOT_FOUND', 'none'],
    ['something new', 'PROTOCOL_VIOLATION', 'unknown'],
  ])('PgBouncer: "%s" is %s, effect %s', (message, code, effect) => {
    expect(classifyPostgres(databaseError('08P01', message, 'FATAL'))).toMatchObject({ code, effect })
  })
  it('takes system errors as everybody does', () => {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
    expect(classifyPostgres(reset)).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect' })
    expect(classifyPostgres(refused)).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    // Five letters, and no SQLSTATE.
    const pipe = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' })
    expect(classifyPostgres(pipe)).toMatchObject({ code: 'CONNECTION_LOST', effect: 'unknown' })
  })
})

describe('by where it happened', () => {
  it('nothing was done before COMMIT was sent, or before there was a connection', () => {
    for (const phase of ['connect', 'transaction'] as const) {
      expect(classifyPostgres(new Error('Connection terminated unexpectedly'), { phase }).effect).toBe('none')
      expect(classifyPostgres(databaseError('57P01'), { phase }).effect).toBe('none')
      expect(classifyPostgres(new Error('never heard of'), { phase })).toMatchObject({
        code: 'CALL_FAILED',
        effect: 'none',
      })
    }
    expect(classifyPostgres(databaseError('57P01'), { phase: 'commit' }).effect).toBe('unknown')
  })
  it('gives back a FairleadError, and believes what others say of their own work', () => {
    const other = createError({ code: 'CONNECTION_LOST', transport: 'http' })
    expect(classifyPostgres(other, { phase: 'transaction' })).toBe(other)
    expect(other.effect).toBe('unknown')
    const own = createError({ code: 'TIMED_OUT', transport: 'postgres' })
    expect(classifyPostgres(own, { phase: 'transaction', channel: 'orders' })).toMatchObject({
      effect: 'none',
      channel: 'orders',
    })
  })
  it('never throws', () => {
    for (const odd of [undefined, null, 7, 'text', Symbol('s'), {}, { code: 40001 }])
      expect(classifyPostgres(odd)).toHaveProperty('code')
  })
})
