// What each SQLSTATE of PostgreSQL means in fairlead's words (PostgreSQL documentation, appendix A; classes by their first two characters).
import type { Code, Effect } from '../../errors/index.ts'

/** What is known of a state. Where nothing is said of the effect, the statement was refused: none. */
export interface StateFacts {
  readonly code: Code
  readonly effect?: Effect
  readonly transient?: boolean
  /** The session is over, or of no use any more. */
  readonly ends?: true
  /** What to do, where the words of the server do not say. */
  readonly advice?: string
}

const MIGRATE = 'has the schema been migrated? migrate(driver, { schema }) does'
const POOLER = 'named prepared statements do not pass a pooler in transaction mode'

/** States that differ from their class. */
const STATES: Readonly<Record<string, StateFacts>> = {
  '08001': { code: 'CONNECTION_REFUSED', effect: 'none', ends: true },
  '08004': { code: 'UNAVAILABLE', effect: 'none', ends: true },
  '08P01': { code: 'PROTOCOL_VIOLATION', effect: 'unknown', ends: true },
  '21000': { code: 'BAD_REQUEST' },
  '23502': { code: 'UNPROCESSABLE' },
  '23514': { code: 'UNPROCESSABLE' },
  '25006': { code: 'MISDIRECTED', ends: true, advice: 'this server is a standby, or read-only' },
  '25P02': { code: 'PROGRAMMING_ERROR', advice: 'an earlier statement of the transaction had failed' },
  '25P03': { code: 'TIMED_OUT', ends: true },
  '26000': { code: 'BAD_REQUEST', advice: POOLER },
  '40002': { code: 'CONFLICT' },
  '40003': { code: 'CONNECTION_LOST', effect: 'unknown' },
  '42501': { code: 'FORBIDDEN' },
  '42883': { code: 'NOT_FOUND', advice: MIGRATE },
  '42P01': { code: 'NOT_FOUND', advice: MIGRATE },
  '42P05': { code: 'BAD_REQUEST', advice: POOLER },
  '42P07': { code: 'CONFLICT' },
  '42P06': { code: 'CONFLICT' },
  '42710': { code: 'CONFLICT' },
  '42723': { code: 'CONFLICT' },
  '53300': { code: 'UNAVAILABLE', ends: true },
  '54001': { code: 'BAD_REQUEST' },
  '55P03': { code: 'TRANSACTION_CONFLICT' },
  '55006': { code: 'TRANSACTION_CONFLICT' },
  '57014': { code: 'CANCELLED' },
  '57P01': { code: 'CONNECTION_LOST', effect: 'unknown', ends: true },
  '57P02': { code: 'CONNECTION_LOST', effect: 'unknown', ends: true },
  '57P03': { code: 'UNAVAILABLE', ends: true },
  '57P04': { code: 'NOT_FOUND', ends: true },
  '57P05': { code: 'CONNECTION_LOST', effect: 'none', ends: true },
  '72000': { code: 'TRANSACTION_CONFLICT' },
  XX001: { code: 'SERVER_ERROR', transient: false },
  XX002: { code: 'SERVER_ERROR', transient: false },
}

/** Classes. */
const CLASSES: Readonly<Record<string, StateFacts>> = {
  '03': { code: 'BAD_REQUEST' },
  '08': { code: 'CONNECTION_LOST', effect: 'unknown', ends: true },
  '09': { code: 'UNPROCESSABLE' },
  '0A': { code: 'NOT_SUPPORTED' },
  '0B': { code: 'BAD_REQUEST' },
  '0F': { code: 'BAD_REQUEST' },
  '0L': { code: 'FORBIDDEN' },
  '0P': { code: 'FORBIDDEN' },
  '20': { code: 'BAD_REQUEST' },
  '21': { code: 'BAD_REQUEST' },
  '22': { code: 'UNPROCESSABLE' },
  '23': { code: 'CONFLICT' },
  '24': { code: 'BAD_REQUEST' },
  '25': { code: 'BAD_REQUEST' },
  '26': { code: 'BAD_REQUEST' },
  '27': { code: 'CONFLICT' },
  '28': { code: 'UNAUTHENTICATED', ends: true },
  '2B': { code: 'CONFLICT' },
  '2D': { code: 'BAD_REQUEST' },
  '2F': { code: 'SERVER_ERROR' },
  '34': { code: 'BAD_REQUEST' },
  '38': { code: 'SERVER_ERROR' },
  '39': { code: 'SERVER_ERROR' },
  '3B': { code: 'BAD_REQUEST' },
  '3D': { code: 'NOT_FOUND', ends: true },
  '3F': { code: 'NOT_FOUND', advice: MIGRATE },
  '40': { code: 'TRANSACTION_CONFLICT' },
  '42': { code: 'BAD_REQUEST' },
  '44': { code: 'UNPROCESSABLE' },
  '53': { code: 'UNAVAILABLE' },
  '54': { code: 'PAYLOAD_TOO_LARGE' },
  '55': { code: 'CONFLICT' },
  '57': { code: 'CONNECTION_LOST', effect: 'unknown', ends: true },
  '58': { code: 'SERVER_ERROR' },
  F0: { code: 'SERVER_ERROR' },
  HV: { code: 'SERVER_ERROR' },
  P0: { code: 'UNPROCESSABLE' },
  XX: { code: 'SERVER_ERROR' },
}

/** What is known of a SQLSTATE: of itself, or of its class. */
export function stateFacts(state: string): StateFacts {
  if (Object.hasOwn(STATES, state)) return STATES[state] as StateFacts
  const group = state.slice(0, 2)
  return Object.hasOwn(CLASSES, group) ? (CLASSES[group] as StateFacts) : { code: 'SERVER_ERROR' }
}
