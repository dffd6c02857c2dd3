import { describe, expect, it } from 'vitest'
import { classifyMysql } from '../../../src/adapters/mysql/index.ts'
import { createError, isFairleadError } from '../../../src/errors/index.ts'

const ofServer = (errno: number, message = 'said the server') =>
  Object.assign(new Error(message), { errno, code: 'ER_SOMETHING', sqlState: 'HY000' })
const ofClient = (code: string, message = 'said mysql2') => Object.assign(new Error(message), { code })

describe('classifyMysql', () => {
  it.each([
    [1213, 'TRANSACTION_CONFLICT', 'none', true],
    [1205, 'TRANSACTION_CONFLICT', 'none', true],
    [1020, 'TRANSACTION_CONFLICT', 'none', true],
    [3572, 'TRANSACTION_CONFLICT', 'none', true],
    [1040, 'UNAVAILABLE', 'none', true],
    [1045, 'UNAUTHENTICATED', 'none', false],
    [1044, 'FORBIDDEN', 'none', false],
    [1142, 'FORBIDDEN', 'none', false],
    [1146, 'NOT_FOUND', 'none', false],
    [1054, 'NOT_FOUND', 'none', false],
    [1049, 'NOT_FOUND', 'none', false],
    [1062, 'CONFLICT', 'none', false],
    [1153, 'PAYLOAD_TOO_LARGE', 'none', false],
    [1301, 'PAYLOAD_TOO_LARGE', 'none', false],
    [1021, 'UNAVAILABLE', 'none', true],
    [1114, 'UNAVAILABLE', 'none', true],
    [1290, 'MISDIRECTED', 'none', true],
    [1836, 'MISDIRECTED', 'none', true],
    [1406, 'UNPROCESSABLE', 'none', false],
    [1064, 'BAD_REQUEST', 'none', false],
    [3024, 'TIMED_OUT', 'none', true],
    [1969, 'TIMED_OUT', 'none', true],
    [1317, 'CANCELLED', 'none', false],
    [1927, 'CONNECTION_LOST', 'unknown', true],
    [2013, 'CONNECTION_LOST', 'unknown', true],
    [1053, 'UNAVAILABLE', 'unknown', true],
    [1180, 'SERVER_ERROR', 'unknown', true],
    // No table knows it: the statement was refused all the same.
    [65000, 'SERVER_ERROR', 'none', true],
  ])('%i is %s, effect %s, transient %s', (errno, code, effect, transient) => {
    expect(classifyMysql(ofServer(errno))).toMatchObject({
      code,
      effect,
      transient,
      transport: 'mysql',
      details: { errno, sqlState: 'HY000' },
    })
  })
  it.each([
    ['PROTOCOL_CONNECTION_LOST', 'CONNECTION_LOST', 'unknown'],
    ['PROTOCOL_SEQUENCE_TIMEOUT', 'TIMED_OUT', 'unknown'],
    ['HANDSHAKE_NO_SSL_SUPPORT', 'TLS_FAILED', 'none'],
    ['HANDSHAKE_SSL_ERROR', 'TLS_FAILED', 'none'],
    ['HANDSHAKE_UNKNOWN_ERROR', 'PROTOCOL_VIOLATION', 'none'],
    ['AUTH_SWITCH_PLUGIN_ERROR', 'UNAUTHENTICATED', 'none'],
  ])('%s of mysql2 is %s, effect %s', (said, code, effect) => {
    expect(classifyMysql(ofClient(said))).toMatchObject({ code, effect })
  })
  it.each([
    ['Pool is closed.', 'SHUTDOWN', 'none'],
    ['No connections available.', 'SELF_EXHAUSTED', 'none'],
    ['Queue limit reached.', 'SELF_EXHAUSTED', 'none'],
    ["Can't add new command when connection is in closed state", 'CONNECTION_LOST', 'none'],
  ])('%s is %s, effect %s', (message, code, effect) => {
    expect(classifyMysql(new Error(message))).toMatchObject({ code, effect })
  })
  it('knows errors of the operating system, whose numbers are negative', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), {
      errno: -111,
      code: 'ECONNREFUSED',
      syscall: 'connect',
    })
    expect(classifyMysql(refused, { phase: 'connect' })).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    const reset = Object.assign(new Error('read ECONNRESET'), { errno: -104, code: 'ECONNRESET', syscall: 'read' })
    expect(classifyMysql(reset)).toMatchObject({ effect: 'unknown' })
  })
  it('knows that nothing was done before COMMIT, and knows nothing of a COMMIT whose answer was lost', () => {
    const lost = ofClient('PROTOCOL_CONNECTION_LOST')
    expect(classifyMysql(lost, { phase: 'transaction' }).effect).toBe('none')
    expect(classifyMysql(lost, { phase: 'connect' }).effect).toBe('none')
    expect(classifyMysql(lost, { phase: 'commit' }).effect).toBe('unknown')
    expect(classifyMysql(lost).effect).toBe('unknown')
    const slow = createError({ code: 'TIMED_OUT', transport: 'mysql', message: 'slow' })
    expect(classifyMysql(slow, { phase: 'transaction' }).effect).toBe('none')
    expect(classifyMysql(slow, { phase: 'commit' })).toBe(slow)
    const others = createError({ code: 'TIMED_OUT', message: 'slow' })
    expect(classifyMysql(others, { phase: 'transaction' })).toBe(others)
  })
  it('quotes no value, and keeps the error as the cause', () => {
    for (const [errno, message] of [
      [1062, "Duplicate entry 'secret' for key 'PRIMARY'"],
      [1064, "You have an error in your SQL syntax; check the manual near 'secret' at line 1"],
      [1366, "Incorrect integer value: 'secret' for column `d`.`t`.`n` at row 1"],
      [1292, "Truncated incorrect DOUBLE value: 'secret'"],
    ] as const) {
      const error = ofServer(errno, message)
      const known = classifyMysql(error)
      expect(known.message).not.toContain('secret')
      expect(known.cause).toBe(error)
    }
  })
  it('never throws, whatever it is given', () => {
    for (const thing of [undefined, null, 1, 'text', Symbol('x'), {}, Object.create(null), () => 1])
      expect(isFairleadError(classifyMysql(thing))).toBe(true)
  })
})
