// Says in fairlead's words what went wrong with Kafka, and whether a record may be there: by the broker's error code where there is one, else by the words of the client.
import { oneLine, readText } from '../../errors/classify-facts.ts'
import {
  type Code,
  classify,
  createError,
  type Effect,
  type FairleadError,
  isFairleadError,
} from '../../errors/index.ts'

/** What is known besides the error. */
export interface KafkaHints {
  /** `connect`: nothing can have been asked of the broker yet. Default `request`. */
  readonly phase?: 'connect' | 'request' | undefined
  readonly channel?: string | undefined
  readonly transport?: string | undefined
}

type Finding = readonly [code: Code, effect: Effect, transient?: boolean | undefined]

// The broker's error codes by name (https://kafka.apache.org/protocol.html#protocol_error_codes). An error that the broker answers undid what was asked, unless said otherwise.
const BROKER: Readonly<Record<string, Finding>> = {
  OFFSET_OUT_OF_RANGE: ['POSITION_EXPIRED', 'none'],
  CORRUPT_MESSAGE: ['CONNECTION_LOST', 'none'],
  UNKNOWN_TOPIC_OR_PARTITION: ['UNROUTABLE', 'none'],
  UNKNOWN_TOPIC_ID: ['UNROUTABLE', 'none'],
  INVALID_TOPIC_EXCEPTION: ['UNROUTABLE', 'none'],
  MESSAGE_TOO_LARGE: ['PAYLOAD_TOO_LARGE', 'none'],
  RECORD_LIST_TOO_LARGE: ['PAYLOAD_TOO_LARGE', 'none'],
  INVALID_RECORD: ['BAD_REQUEST', 'none'],
  INVALID_TIMESTAMP: ['BAD_REQUEST', 'none'],
  INVALID_REPLICATION_FACTOR: ['BAD_REQUEST', 'none'],
  INVALID_PARTITIONS: ['BAD_REQUEST', 'none'],
  INVALID_CONFIG: ['BAD_REQUEST', 'none'],
  INVALID_GROUP_ID: ['BAD_REQUEST', 'none'],
  INVALID_REQUEST: ['BAD_REQUEST', 'none'],
  POLICY_VIOLATION: ['FORBIDDEN', 'none'],
  UNSUPPORTED_VERSION: ['NOT_SUPPORTED', 'none'],
  UNSUPPORTED_FOR_MESSAGE_FORMAT: ['NOT_SUPPORTED', 'none'],
  UNSUPPORTED_COMPRESSION_TYPE: ['NOT_SUPPORTED', 'none'],
  INCONSISTENT_GROUP_PROTOCOL: ['CONFLICT', 'none'],
  NON_EMPTY_GROUP: ['CONFLICT', 'none'],
  GROUP_ID_NOT_FOUND: ['CHANNEL_NOT_FOUND', 'none'],
  LEADER_NOT_AVAILABLE: ['UNAVAILABLE', 'none'],
  NOT_LEADER_FOR_PARTITION: ['UNAVAILABLE', 'none'],
  NOT_LEADER_OR_FOLLOWER: ['UNAVAILABLE', 'none'],
  FENCED_LEADER_EPOCH: ['UNAVAILABLE', 'none'],
  UNKNOWN_LEADER_EPOCH: ['UNAVAILABLE', 'none'],
  REPLICA_NOT_AVAILABLE: ['UNAVAILABLE', 'none'],
  BROKER_NOT_AVAILABLE: ['UNAVAILABLE', 'none'],
  NOT_CONTROLLER: ['UNAVAILABLE', 'none'],
  NOT_ENOUGH_REPLICAS: ['UNAVAILABLE', 'none'],
  // It stands on the leader, and may yet be lost or kept.
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ['UNAVAILABLE', 'unknown'],
  REQUEST_TIMED_OUT: ['TIMED_OUT', 'unknown'],
  NETWORK_EXCEPTION: ['CONNECTION_LOST', 'unknown'],
  UNKNOWN: ['SERVER_ERROR', 'unknown'],
  UNKNOWN_SERVER_ERROR: ['SERVER_ERROR', 'unknown'],
  // A disk of the broker.
  KAFKA_STORAGE_ERROR: ['UNAVAILABLE', 'unknown'],
  LOG_DIR_NOT_FOUND: ['UNAVAILABLE', 'unknown'],
  THROTTLING_QUOTA_EXCEEDED: ['TOO_MANY_REQUESTS', 'none'],
  GROUP_MAX_SIZE_REACHED: ['TOO_MANY_REQUESTS', 'none'],
  GROUP_LOAD_IN_PROGRESS: ['UNAVAILABLE', 'none'],
  COORDINATOR_LOAD_IN_PROGRESS: ['UNAVAILABLE', 'none'],
  GROUP_COORDINATOR_NOT_AVAILABLE: ['UNAVAILABLE', 'none'],
  COORDINATOR_NOT_AVAILABLE: ['UNAVAILABLE', 'none'],
  NOT_COORDINATOR_FOR_GROUP: ['UNAVAILABLE', 'none'],
  NOT_COORDINATOR: ['UNAVAILABLE', 'none'],
  CONCURRENT_TRANSACTIONS: ['UNAVAILABLE', 'none'],
  // A transaction has written offsets, and has not ended.
  UNSTABLE_OFFSET_COMMIT: ['UNAVAILABLE', 'none'],
  ILLEGAL_GENERATION: ['LEASE_LOST', 'none'],
  UNKNOWN_MEMBER_ID: ['LEASE_LOST', 'none'],
  REBALANCE_IN_PROGRESS: ['LEASE_LOST', 'none'],
  FENCED_INSTANCE_ID: ['LEASE_LOST', 'none'],
  STALE_MEMBER_EPOCH: ['LEASE_LOST', 'none'],
  FENCED_MEMBER_EPOCH: ['LEASE_LOST', 'none'],
  TOPIC_AUTHORIZATION_FAILED: ['FORBIDDEN', 'none'],
  GROUP_AUTHORIZATION_FAILED: ['FORBIDDEN', 'none'],
  CLUSTER_AUTHORIZATION_FAILED: ['FORBIDDEN', 'none'],
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: ['FORBIDDEN', 'none'],
  SECURITY_DISABLED: ['NOT_SUPPORTED', 'none'],
  SASL_AUTHENTICATION_FAILED: ['UNAUTHENTICATED', 'none'],
  UNSUPPORTED_SASL_MECHANISM: ['UNAUTHENTICATED', 'none'],
  ILLEGAL_SASL_STATE: ['UNAUTHENTICATED', 'none'],
  // The producer's state is gone or was taken over: of what was in flight nobody knows.
  OUT_OF_ORDER_SEQUENCE_NUMBER: ['CONNECTION_LOST', 'unknown', true],
  UNKNOWN_PRODUCER_ID: ['CONNECTION_LOST', 'unknown', true],
  INVALID_PRODUCER_EPOCH: ['CONNECTION_LOST', 'unknown', true],
  PRODUCER_FENCED: ['CONNECTION_LOST', 'unknown', true],
  INVALID_PRODUCER_ID_MAPPING: ['CONNECTION_LOST', 'unknown', true],
  INVALID_TXN_STATE: ['CONFLICT', 'unknown', true],
  TRANSACTION_COORDINATOR_FENCED: ['CONNECTION_LOST', 'unknown', true],
  TRANSACTION_ABORTABLE: ['UNAVAILABLE', 'none'],
  OPERATION_NOT_ATTEMPTED: ['UNAVAILABLE', 'none'],
  INVALID_TRANSACTION_TIMEOUT: ['BAD_REQUEST', 'none'],
}

// Words of the clients for what never came from the broker. A test sees to it that they are still said.
const WORDS: readonly (readonly [RegExp, Finding])[] = [
  // kafkajs puts these into an error of its own that has only their words.
  [/correct coordinator|coordinator is (not available|loading)|group is rebalancing|leader/i, ['UNAVAILABLE', 'none']],
  [/ECONNREFUSED/, ['CONNECTION_REFUSED', 'none']],
  [/ENOTFOUND/, ['NAME_NOT_FOUND', 'none']],
  [/EAI_AGAIN/, ['NAME_LOOKUP_FAILED', 'none']],
  [/EHOSTUNREACH|ENETUNREACH/, ['HOST_UNREACHABLE', 'none']],
  [/connection timeout|connect(ion)? timed out|Connection to .* timed out/i, ['CONNECT_TIMEOUT', 'none']],
  [/SASL|authentication failed|Authentication failed/i, ['UNAUTHENTICATED', 'none']],
  [/Request .* timed out|timed out/i, ['TIMED_OUT', 'unknown']],
  [/message (batch )?(is )?larger|too large/i, ['PAYLOAD_TOO_LARGE', 'none']],
  [
    /producer is disconnected|not connected|Closed connection|Connection closed|socket hang up|ECONNRESET|EPIPE|Connection error|disconnected/i,
    ['CONNECTION_LOST', 'unknown'],
  ],
  [/Invalid groupId/, ['BAD_REQUEST', 'none']],
  [/Producing to topic without metadata|does not host this topic/i, ['UNROUTABLE', 'none']],
  [
    /No brokers in the broker pool|Broker .* not found|Failed to find group coordinator|Failed to connect to seed broker/i,
    ['UNAVAILABLE', 'none'],
  ],
]

const MOST_CAUSES = 8

/**
 * Makes a FairleadError of what a Kafka client threw. Never throws; a FairleadError is given back. `details.kafka` is the name of the broker's error.
 * The causes of the client's error are looked at as well: clients wrap the last error of their own retries.
 */
export function classifyKafka(thrown: unknown, hints: KafkaHints = {}): FairleadError {
  if (isFairleadError(thrown)) return thrown
  const { phase, channel, transport = 'kafka' } = hints
  const chain = causesOf(thrown)
  let found: Finding | undefined
  let kafka: string | undefined
  for (const error of chain) {
    const name = brokerNameOf(error)
    if (name === undefined) continue
    kafka = name
    found = BROKER[name] ?? ['SERVER_ERROR', 'unknown']
    break
  }
  if (found === undefined) {
    for (const error of chain) {
      const words = `${readText(error, 'code')} ${readText(error, 'message')}`
      found = WORDS.find(([pattern]) => pattern.test(words))?.[1]
      if (found !== undefined) break
    }
  }
  const fallback =
    found === undefined
      ? classify(thrown, { transport, channel, phase: phase === 'connect' ? 'connect' : undefined })
      : undefined
  if (fallback !== undefined && fallback.code !== 'CALL_FAILED') return fallback
  const [code, effect, transient] = found ?? ['SERVER_ERROR', 'unknown', true]
  return createError({
    code,
    effect: phase === 'connect' ? 'none' : effect,
    transient,
    message: oneLine(readText(thrown, 'message') || readText(chain.at(-1), 'message')),
    cause: thrown,
    transport,
    channel,
    details: kafka === undefined ? undefined : { kafka },
    stack: false,
  })
}

/** The name of the broker's error that a FairleadError was made of. */
export function kafkaErrorOf(error: FairleadError): string | undefined {
  const details = error.details as { readonly kafka?: string } | undefined
  return details?.kafka
}

/** An error of the broker's own, by its name: for clients that give codes and no errors. */
export function brokerError(name: string, message?: string | undefined): FairleadError {
  return classifyKafka(Object.assign(new Error(message ?? name), { type: name }))
}

/**
 * Whether a producer must not be used after this error. Its place in the sequence of a partition is then not certain: the next batch could be taken
 * for the one before, and be dropped as a duplicate.
 */
export function isFatalForProducer(error: FairleadError): boolean {
  const kafka = kafkaErrorOf(error)
  return error.effect !== 'none' || kafka === undefined || kafka === 'UNKNOWN_TOPIC_OR_PARTITION'
}

/** Whether somebody else writes transactions under our name now, or ours was ended because it took too long. */
export function isFenced(error: FairleadError): boolean {
  const kafka = kafkaErrorOf(error)
  return kafka === 'PRODUCER_FENCED' || kafka === 'INVALID_PRODUCER_EPOCH'
}

// kafkajs: `type`; @platformatic/kafka: `apiId`.
function brokerNameOf(error: unknown): string | undefined {
  const type = readText(error, 'type') || readText(error, 'apiId')
  return /^[A-Z][A-Z_0-9]+$/.test(type) && type !== 'ERR' ? type : undefined
}

function causesOf(thrown: unknown): readonly unknown[] {
  const all: unknown[] = []
  const visit = (error: unknown): void => {
    if (typeof error !== 'object' || error === null || all.length >= MOST_CAUSES || all.includes(error)) return
    all.push(error)
    const { cause, originalError, errors } = error as Record<string, unknown>
    visit(cause)
    visit(originalError)
    if (Array.isArray(errors)) for (const each of errors) visit(each)
  }
  visit(thrown)
  return all
}
