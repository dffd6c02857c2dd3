// What each error number of MySQL and MariaDB means in fairlead's words (server error reference of both; numbers from 2000 to 2999 are of clients).
import type { Code, Effect } from '../../errors/index.ts'

/** What is known of an error. Where nothing is said of the effect, the statement was refused: none. */
export interface ErrnoFacts {
  readonly code: Code
  readonly effect?: Effect
  readonly transient?: boolean
  /** The session is over, or of no use any more. */
  readonly ends?: true
  /** What to do, where the words of the server do not say. */
  readonly advice?: string
}

const MIGRATE = 'have the tables been made? migrate() of the store does'
const FULL = 'the disk or a limit of the server is full'
const READ_ONLY = 'this server is a replica, or read-only'
const PACKET = 'raise max_allowed_packet of the server, or send less'

const full: ErrnoFacts = { code: 'UNAVAILABLE', effect: 'none', advice: FULL }
const conflict: ErrnoFacts = { code: 'TRANSACTION_CONFLICT' }
const forbidden: ErrnoFacts = { code: 'FORBIDDEN' }
const duplicate: ErrnoFacts = { code: 'CONFLICT' }
const bad: ErrnoFacts = { code: 'BAD_REQUEST' }
const value: ErrnoFacts = { code: 'UNPROCESSABLE' }
const lost: ErrnoFacts = { code: 'CONNECTION_LOST', effect: 'unknown', ends: true }
const crowded: ErrnoFacts = { code: 'UNAVAILABLE', effect: 'none', ends: true }
const readOnly: ErrnoFacts = { code: 'MISDIRECTED', ends: true, advice: READ_ONLY }
const tooLarge: ErrnoFacts = { code: 'PAYLOAD_TOO_LARGE', advice: PACKET }

const ERRNOS: Readonly<Record<number, ErrnoFacts>> = {
  // conflicts with other transactions: run the whole again
  1020: conflict, // ER_CHECKREAD: innodb_snapshot_isolation of MariaDB
  1205: conflict, // ER_LOCK_WAIT_TIMEOUT: only the statement was undone, unless innodb_rollback_on_timeout says otherwise
  1213: conflict, // ER_LOCK_DEADLOCK
  1614: conflict, // ER_XA_RBDEADLOCK
  1637: { code: 'UNAVAILABLE', effect: 'none' }, // ER_TOO_MANY_CONCURRENT_TRXS
  3101: conflict, // ER_TRANSACTION_ROLLBACK_DURING_COMMIT: group replication
  3572: conflict, // ER_LOCK_NOWAIT of MySQL
  4031: lost, // ER_CLIENT_INTERACTION_TIMEOUT
  // who asks, and what for
  1044: forbidden, // ER_DBACCESS_DENIED_ERROR
  1045: { code: 'UNAUTHENTICATED', ends: true }, // ER_ACCESS_DENIED_ERROR
  1130: { code: 'FORBIDDEN', ends: true }, // ER_HOST_NOT_PRIVILEGED
  1142: forbidden, // ER_TABLEACCESS_DENIED_ERROR
  1143: forbidden, // ER_COLUMNACCESS_DENIED_ERROR
  1227: forbidden, // ER_SPECIFIC_ACCESS_DENIED_ERROR
  1370: forbidden, // ER_PROCACCESS_DENIED_ERROR
  1251: { code: 'UNAUTHENTICATED', ends: true }, // ER_NOT_SUPPORTED_AUTH_MODE
  1524: { code: 'UNAUTHENTICATED', ends: true }, // ER_PLUGIN_IS_NOT_LOADED
  1698: { code: 'UNAUTHENTICATED', ends: true }, // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
  1820: { code: 'UNAUTHENTICATED', advice: 'the password has expired' }, // ER_MUST_CHANGE_PASSWORD
  1862: { code: 'UNAUTHENTICATED', ends: true, advice: 'the password has expired' }, // ER_MUST_CHANGE_PASSWORD_LOGIN
  3118: { code: 'UNAUTHENTICATED', ends: true, advice: 'the account is locked' }, // ER_ACCOUNT_HAS_BEEN_LOCKED
  4151: { code: 'UNAUTHENTICATED', ends: true, advice: 'the account is locked' }, // ER_ACCOUNT_HAS_BEEN_LOCKED of MariaDB
  // too many
  1040: crowded, // ER_CON_COUNT_ERROR
  1129: crowded, // ER_HOST_IS_BLOCKED
  1203: crowded, // ER_TOO_MANY_USER_CONNECTIONS
  1226: crowded, // ER_USER_LIMIT_REACHED
  1461: { code: 'UNAVAILABLE', effect: 'none' }, // ER_MAX_PREPARED_STMT_COUNT_REACHED
  // what is not there
  1049: { code: 'NOT_FOUND', ends: true }, // ER_BAD_DB_ERROR
  1046: { code: 'BAD_REQUEST', advice: 'the pool has no database, and the statement names none' }, // ER_NO_DB_ERROR
  1051: { code: 'NOT_FOUND' }, // ER_BAD_TABLE_ERROR
  1054: { code: 'NOT_FOUND', advice: MIGRATE }, // ER_BAD_FIELD_ERROR
  1109: { code: 'NOT_FOUND' }, // ER_UNKNOWN_TABLE
  1146: { code: 'NOT_FOUND', advice: MIGRATE }, // ER_NO_SUCH_TABLE
  1305: { code: 'NOT_FOUND' }, // ER_SP_DOES_NOT_EXIST
  // what is there already, or refers to something
  1007: duplicate, // ER_DB_CREATE_EXISTS
  1022: duplicate, // ER_DUP_KEY
  1050: duplicate, // ER_TABLE_EXISTS_ERROR
  1060: duplicate, // ER_DUP_FIELDNAME
  1061: duplicate, // ER_DUP_KEYNAME
  1062: duplicate, // ER_DUP_ENTRY
  1586: duplicate, // ER_DUP_ENTRY_WITH_KEY_NAME
  1216: duplicate, // ER_NO_REFERENCED_ROW
  1217: duplicate, // ER_ROW_IS_REFERENCED
  1451: duplicate, // ER_ROW_IS_REFERENCED_2
  1452: duplicate, // ER_NO_REFERENCED_ROW_2
  // too large
  1105: { code: 'SERVER_ERROR' }, // ER_UNKNOWN_ERROR
  1118: { code: 'PAYLOAD_TOO_LARGE' }, // ER_TOO_BIG_ROWSIZE
  1153: { ...tooLarge, ends: true }, // ER_NET_PACKET_TOO_LARGE
  1162: tooLarge, // ER_TOO_LONG_STRING
  1301: tooLarge, // ER_WARN_ALLOWED_PACKET_OVERFLOWED
  2020: { ...tooLarge, ends: true }, // CR_NET_PACKET_TOO_LARGE
  // full
  1021: full, // ER_DISK_FULL
  1026: full, // ER_ERROR_ON_WRITE
  1037: full, // ER_OUTOFMEMORY
  1038: full, // ER_OUT_OF_SORTMEMORY
  1041: full, // ER_OUT_OF_RESOURCES
  1114: full, // ER_RECORD_FILE_FULL
  1206: full, // ER_LOCK_TABLE_FULL
  3019: full, // ER_INNODB_UNDO_LOG_FULL
  3632: full, // ER_CAPACITY_EXCEEDED
  // not here
  1036: readOnly, // ER_OPEN_AS_READONLY
  1290: readOnly, // ER_OPTION_PREVENTS_STATEMENT: --read-only
  1792: { code: 'MISDIRECTED', advice: 'the transaction is read-only' }, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
  1836: readOnly, // ER_READ_ONLY_MODE
  3100: { code: 'UNAVAILABLE', effect: 'none' }, // ER_RUN_HOOK_ERROR: group replication refused it
  // the statement
  1064: bad, // ER_PARSE_ERROR
  1065: bad, // ER_EMPTY_QUERY
  1136: bad, // ER_WRONG_VALUE_COUNT_ON_ROW
  1193: bad, // ER_UNKNOWN_SYSTEM_VARIABLE
  1210: bad, // ER_WRONG_ARGUMENTS
  1232: bad, // ER_WRONG_TYPE_FOR_VAR
  1568: { code: 'PROGRAMMING_ERROR', advice: 'the connection was given back in the middle of a transaction' }, // ER_CANT_CHANGE_TX_CHARACTERISTICS
  1235: { code: 'NOT_SUPPORTED', effect: 'none' }, // ER_NOT_SUPPORTED_YET
  // the values
  1048: value, // ER_BAD_NULL_ERROR
  1264: value, // ER_WARN_DATA_OUT_OF_RANGE
  1292: value, // ER_TRUNCATED_WRONG_VALUE
  1364: value, // ER_NO_DEFAULT_FOR_FIELD
  1365: value, // ER_DIVISION_BY_ZERO
  1366: value, // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
  1406: value, // ER_DATA_TOO_LONG
  1644: value, // ER_SIGNAL_EXCEPTION
  1690: value, // ER_DATA_OUT_OF_RANGE
  3819: value, // ER_CHECK_CONSTRAINT_VIOLATED
  4025: value, // ER_CONSTRAINT_FAILED of MariaDB
  // given up
  1028: { code: 'CANCELLED', effect: 'none' }, // ER_FILSORT_ABORT
  1317: { code: 'CANCELLED', effect: 'none' }, // ER_QUERY_INTERRUPTED
  1907: { code: 'TIMED_OUT', effect: 'none' }, // ER_QUERY_TIMEOUT
  1969: { code: 'TIMED_OUT', effect: 'none' }, // ER_STATEMENT_TIMEOUT of MariaDB: max_statement_time
  3024: { code: 'TIMED_OUT', effect: 'none' }, // ER_QUERY_TIMEOUT of MySQL: max_execution_time
  // the connection
  1042: { code: 'NAME_LOOKUP_FAILED', ends: true }, // ER_BAD_HOST_ERROR
  1043: { code: 'PROTOCOL_VIOLATION', effect: 'none', ends: true }, // ER_HANDSHAKE_ERROR
  1047: { code: 'UNAVAILABLE', effect: 'none', advice: 'this node of the cluster is not ready' }, // ER_UNKNOWN_COM_ERROR
  1053: { code: 'UNAVAILABLE', effect: 'unknown', ends: true }, // ER_SERVER_SHUTDOWN
  1077: { code: 'UNAVAILABLE', effect: 'none', ends: true }, // ER_NORMAL_SHUTDOWN
  1079: { code: 'UNAVAILABLE', effect: 'none', ends: true }, // ER_SHUTDOWN_COMPLETE
  1080: lost, // ER_FORCING_CLOSE
  1152: lost, // ER_ABORTING_CONNECTION
  1184: lost, // ER_NEW_ABORTING_CONNECTION
  1156: { code: 'PROTOCOL_VIOLATION', effect: 'unknown', ends: true }, // ER_NET_PACKETS_OUT_OF_ORDER
  1158: lost, // ER_NET_READ_ERROR
  1159: lost, // ER_NET_READ_INTERRUPTED
  1160: lost, // ER_NET_ERROR_ON_WRITE
  1161: lost, // ER_NET_WRITE_INTERRUPTED
  1180: { code: 'SERVER_ERROR', effect: 'unknown' }, // ER_ERROR_DURING_COMMIT
  1927: lost, // ER_CONNECTION_KILLED of MariaDB
  2002: { code: 'CONNECTION_REFUSED', effect: 'none', ends: true }, // CR_CONNECTION_ERROR
  2003: { code: 'CONNECTION_REFUSED', effect: 'none', ends: true }, // CR_CONN_HOST_ERROR
  2006: lost, // CR_SERVER_GONE_ERROR
  2013: lost, // CR_SERVER_LOST
  2055: lost, // CR_SERVER_LOST_EXTENDED
}

/** What is known of an error number of the server. */
export function errnoFacts(errno: number): ErrnoFacts {
  return ERRNOS[errno] ?? { code: 'SERVER_ERROR' }
}
