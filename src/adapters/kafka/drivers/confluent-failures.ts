// What @confluentinc/kafka-javascript throws, in the names of the broker's errors; and what librdkafka says only in its log: why it cannot connect, and that it
// may not. Of both it tries again for ever, and the promises of the package know nothing of it.
import type { Clock } from '../../../core/clock.ts'
import { oneLine, readText } from '../../../errors/classify-facts.ts'
import { type Code, createError, type Effect, type FairleadError, isFairleadError } from '../../../errors/index.ts'
import { brokerError, classifyKafka, type KafkaHints } from '../classify-kafka.ts'
import type { ConfluentLogger } from './confluent-types.ts'

// https://kafka.apache.org/protocol.html#protocol_error_codes: the package has names of its own, and none where two of them have one number.
const BROKER: Readonly<Record<number, string>> = {
  1: 'OFFSET_OUT_OF_RANGE',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  4: 'MESSAGE_TOO_LARGE',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_OR_FOLLOWER',
  7: 'REQUEST_TIMED_OUT',
  8: 'BROKER_NOT_AVAILABLE',
  9: 'REPLICA_NOT_AVAILABLE',
  10: 'MESSAGE_TOO_LARGE',
  13: 'NETWORK_EXCEPTION',
  14: 'COORDINATOR_LOAD_IN_PROGRESS',
  15: 'COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR',
  17: 'INVALID_TOPIC_EXCEPTION',
  18: 'RECORD_LIST_TOO_LARGE',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  22: 'ILLEGAL_GENERATION',
  23: 'INCONSISTENT_GROUP_PROTOCOL',
  24: 'INVALID_GROUP_ID',
  25: 'UNKNOWN_MEMBER_ID',
  27: 'REBALANCE_IN_PROGRESS',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  30: 'GROUP_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  32: 'INVALID_TIMESTAMP',
  33: 'UNSUPPORTED_SASL_MECHANISM',
  34: 'ILLEGAL_SASL_STATE',
  35: 'UNSUPPORTED_VERSION',
  36: 'TOPIC_ALREADY_EXISTS',
  37: 'INVALID_PARTITIONS',
  38: 'INVALID_REPLICATION_FACTOR',
  40: 'INVALID_CONFIG',
  41: 'NOT_CONTROLLER',
  42: 'INVALID_REQUEST',
  43: 'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  44: 'POLICY_VIOLATION',
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  48: 'INVALID_TXN_STATE',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  51: 'CONCURRENT_TRANSACTIONS',
  53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  54: 'SECURITY_DISABLED',
  56: 'KAFKA_STORAGE_ERROR',
  57: 'LOG_DIR_NOT_FOUND',
  58: 'SASL_AUTHENTICATION_FAILED',
  59: 'UNKNOWN_PRODUCER_ID',
  68: 'NON_EMPTY_GROUP',
  69: 'GROUP_ID_NOT_FOUND',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  76: 'UNSUPPORTED_COMPRESSION_TYPE',
  81: 'GROUP_MAX_SIZE_REACHED',
  82: 'FENCED_INSTANCE_ID',
  87: 'INVALID_RECORD',
  88: 'UNSTABLE_OFFSET_COMMIT',
  89: 'THROTTLING_QUOTA_EXCEEDED',
  90: 'PRODUCER_FENCED',
  100: 'UNKNOWN_TOPIC_ID',
  110: 'FENCED_MEMBER_EPOCH',
  113: 'STALE_MEMBER_EPOCH',
}

// librdkafka's own, which no broker has said: https://github.com/confluentinc/librdkafka/blob/v2.15.1/src/rdkafka.h
const LOCAL: Readonly<Record<number, string | readonly [Code, Effect, (boolean | undefined)?]>> = {
  [-199]: ['CONNECTION_LOST', 'unknown'],
  [-197]: ['CONNECTION_LOST', 'unknown'],
  [-195]: ['CONNECTION_LOST', 'unknown'],
  [-193]: ['NAME_NOT_FOUND', 'none'],
  [-192]: ['TIMED_OUT', 'unknown'],
  [-190]: 'UNKNOWN_TOPIC_OR_PARTITION',
  [-188]: 'UNKNOWN_TOPIC_OR_PARTITION',
  [-187]: ['CONNECTION_LOST', 'unknown'],
  [-186]: ['BAD_REQUEST', 'none'],
  [-185]: ['TIMED_OUT', 'unknown'],
  // Its own queue.
  [-184]: ['UNAVAILABLE', 'none'],
  [-181]: ['TLS_FAILED', 'none'],
  [-180]: 'COORDINATOR_NOT_AVAILABLE',
  [-172]: ['CONNECTION_LOST', 'none'],
  [-170]: ['NOT_SUPPORTED', 'none'],
  [-169]: 'SASL_AUTHENTICATION_FAILED',
  [-166]: ['TIMED_OUT', 'none'],
  [-165]: ['NOT_SUPPORTED', 'none'],
  [-164]: ['UNAVAILABLE', 'none'],
  [-152]: ['CONNECTION_LOST', 'none'],
  [-151]: ['CONNECTION_LOST', 'unknown'],
  // A producer that is beyond help: another one goes on.
  [-150]: ['CONNECTION_LOST', 'unknown', true],
  [-148]: ['CONNECTION_LOST', 'unknown', true],
  [-147]: ['LEASE_LOST', 'none'],
  [-144]: ['CONNECTION_LOST', 'unknown', true],
  [-142]: ['LEASE_LOST', 'none'],
  [-140]: 'OFFSET_OUT_OF_RANGE',
}

/** Makes a FairleadError of what the package threw. */
export function confluentFailure(thrown: unknown, hints: KafkaHints = {}): FairleadError {
  if (isFairleadError(thrown)) return thrown
  const inner = (thrown as { readonly errors?: unknown } | undefined)?.errors
  // Of several topics, of which each is asked for by a call of its own.
  if (Array.isArray(inner) && inner.length > 0) return confluentFailure(inner[0], hints)
  const message = oneLine(readText(thrown, 'message'))
  // 1.10.1 has no class for this one, and fails at making it.
  if (thrown instanceof TypeError && /GroupCoordinatorNotAvailable/.test(message))
    return brokerError('COORDINATOR_NOT_AVAILABLE')
  const code = (thrown as { readonly code?: unknown } | undefined)?.code
  const known = typeof code === 'number' ? (BROKER[code] ?? LOCAL[code]) : undefined
  if (typeof known === 'string') return named(known, message, thrown, hints)
  if (known !== undefined) {
    const [of, effect, transient] = known
    return createError({
      code: of,
      effect: hints.phase === 'connect' ? 'none' : effect,
      transient,
      message,
      cause: thrown,
      transport: hints.transport ?? 'kafka',
      channel: hints.channel,
      stack: false,
    })
  }
  // Its name of the error is no name of the broker's.
  return classifyKafka(new Error(message, { cause: plain(thrown) }), hints)
}

// What the log says. Of several brokers one may be down: that all are is said apart.
const SAYS: readonly (readonly [RegExp, (words: string) => FairleadError, final: boolean])[] = [
  [
    /SASL.*(authentication|handshake)|Authentication failed/i,
    named.bind(undefined, 'SASL_AUTHENTICATION_FAILED'),
    true,
  ],
  [/Group authorization failed/i, named.bind(undefined, 'GROUP_AUTHORIZATION_FAILED'), true],
  [/Topic authorization failed/i, named.bind(undefined, 'TOPIC_AUTHORIZATION_FAILED'), true],
  [/Cluster authorization failed/i, named.bind(undefined, 'CLUSTER_AUTHORIZATION_FAILED'), true],
  [/Inconsistent group protocol/i, named.bind(undefined, 'INCONSISTENT_GROUP_PROTOCOL'), true],
  [/Connection refused/i, unreachable.bind(undefined, 'CONNECTION_REFUSED'), false],
  [/resolve|resolution fail/i, unreachable.bind(undefined, 'NAME_NOT_FOUND'), false],
  [/SSL handshake failed|certificate/i, unreachable.bind(undefined, 'TLS_FAILED'), false],
  [/setup timed out|connect.*timed out/i, unreachable.bind(undefined, 'CONNECT_TIMEOUT'), false],
]
const UNREACHABLE_MS = 1_000
const ALL_DOWN = /\b(\d+)\/\1 brokers are down/

/** The log of one client of the package, listened to. */
export class ConfluentLog implements ConfluentLogger {
  private readonly clock: Clock
  private readonly told: ((level: string, message: string) => void) | undefined
  private readonly refused: ((error: FairleadError) => void) | undefined
  private readonly waiting = new Set<(error: FairleadError) => void>()
  private readonly works = new Set<Promise<unknown>>()
  private reason: FairleadError | undefined

  /**
   * @param clock for waiting whether another broker answers
   * @param told of each line
   * @param refused called each time that the broker refuses what will not be allowed by trying again
   */
  constructor(
    clock: Clock,
    told: ((level: string, message: string) => void) | undefined,
    refused?: ((error: FairleadError) => void) | undefined,
  ) {
    this.clock = clock
    this.told = told
    this.refused = refused
  }

  /** Why the broker refuses, if it said so. */
  get refusal(): FairleadError | undefined {
    return this.reason?.transient === false ? this.reason : undefined
  }

  /** `work`, or what is said meanwhile: that no broker is to be had, or that we may not. */
  during<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.waiting.add(reject)
      this.works.add(work)
      work.then(resolve, reject).finally(() => {
        this.waiting.delete(reject)
        this.works.delete(work)
      })
    })
  }

  /** Resolves when all that was asked `during` it has ended, early or not: librdkafka takes it ill when a client is closed that is still being asked. */
  async idle(): Promise<void> {
    while (this.works.size > 0) await Promise.allSettled([...this.works])
  }

  error(message: string): void {
    this.told?.('error', message)
    this.hear(message)
  }

  info(message: string): void {
    this.told?.('info', message)
  }

  warn(message: string): void {
    this.told?.('warn', message)
    this.hear(message)
  }

  debug(message: string): void {
    this.told?.('debug', message)
  }

  namespace(): ConfluentLogger {
    return this
  }

  setLogLevel(): void {}

  private hear(message: string): void {
    const found = SAYS.find(([pattern]) => pattern.test(message))
    if (found !== undefined) {
      const [, make, final] = found
      this.reason = make(oneLine(message))
      if (final) {
        this.tell(this.reason)
        this.refused?.(this.reason)
      } else this.tellLater(this.reason)
    } else if (ALL_DOWN.test(message)) this.tell(this.reason ?? unreachable('UNAVAILABLE', oneLine(message)))
  }

  // That all are down is not told to an admin client. What waits was asked before, and none of the others has answered it.
  private tellLater(error: FairleadError): void {
    const asked = [...this.waiting]
    if (asked.length === 0) return
    const later = (): void => {
      for (const reject of asked) if (this.waiting.has(reject)) reject(error)
    }
    this.clock.unref(this.clock.setTimer(later, UNREACHABLE_MS, undefined))
  }

  private tell(error: FairleadError): void {
    for (const reject of [...this.waiting]) reject(error)
  }
}

function unreachable(code: Code, message: string): FairleadError {
  return createError({ code, effect: 'none', message, transport: 'kafka', stack: false })
}

function named(name: string, message: string, cause?: unknown, hints?: KafkaHints): FairleadError {
  return classifyKafka(Object.assign(new Error(message, { cause: plain(cause) }), { type: name }), hints)
}

// Its `type` would be taken for the broker's name of an error.
function plain(thrown: unknown): Error | undefined {
  return thrown instanceof Error ? new Error(oneLine(thrown.message)) : undefined
}
