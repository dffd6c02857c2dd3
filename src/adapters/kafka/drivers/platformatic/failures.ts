// Errors of the package in fairlead's words, and what its driver has to know of them.
import { createError, type FairleadError } from '../../../../errors/index.ts'
import { brokerError, classifyKafka, kafkaErrorOf } from '../../classify-kafka.ts'
import type { TopicPartition } from '../../driver.ts'

/** Names of the broker's errors by their numbers, as the package has them. */
export type ErrorNames = Readonly<Record<number, string>>

/** What the package threw. @param phase `connect`: nothing has been asked yet */
export function failureOf(thrown: unknown, phase?: 'connect' | undefined): FairleadError {
  // Of a topic that is not there it makes an error without a code.
  if (thrown instanceof Error && /^Unknown topic /.test(thrown.message))
    return brokerError('UNKNOWN_TOPIC_OR_PARTITION', thrown.message)
  return classifyKafka(thrown, { phase })
}

/** What the broker answered for one partition. */
export function failureOfCode(code: number, names: ErrorNames, doing: string): FairleadError {
  const name = names[code] ?? 'UNKNOWN_SERVER_ERROR'
  return brokerError(name, `${name} ${doing}`)
}

/**
 * Whether the client is to be replaced after this: an answer may still come, and would leave its connection unable to read the next one. Connections
 * that broke it drops by itself.
 */
export function isStale(error: FairleadError): boolean {
  return error.code === 'TIMED_OUT' || error.code === 'CONNECT_TIMEOUT'
}

const LEADERLESS: ReadonlySet<string | undefined> = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'UNKNOWN_TOPIC_ID',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'NOT_LEADER_FOR_PARTITION',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'REPLICA_NOT_AVAILABLE',
  'KAFKA_STORAGE_ERROR',
])

/** Whether another broker may be the leader now. */
export const isLeaderless = (error: FairleadError): boolean => LEADERLESS.has(kafkaErrorOf(error))

const ELSEWHERE: ReadonlySet<string | undefined> = new Set([
  'COORDINATOR_NOT_AVAILABLE',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR',
  'NOT_COORDINATOR_FOR_GROUP',
  'COORDINATOR_LOAD_IN_PROGRESS',
  'GROUP_LOAD_IN_PROGRESS',
])

/** Whether another broker may be the coordinator now, or soon be one. */
export const isElsewhere = (error: FairleadError): boolean => ELSEWHERE.has(kafkaErrorOf(error))

/** Whether a connection ended. A broker that is starting takes connections before it can use them. */
export const isCut = (error: FairleadError): boolean => error.code === 'CONNECTION_LOST'

/** How often that is borne where nothing but a question is lost. */
export const MOST_CUTS = 5

/** The id that a new member is to come back with. */
export function requiredId(error: FairleadError): string | undefined {
  if (kafkaErrorOf(error) !== 'MEMBER_ID_REQUIRED') return undefined
  const thrown = error.cause as { readonly response?: { readonly memberId?: string | null } } | undefined
  return thrown?.response?.memberId ?? ''
}

/** Whether the broker knows nothing of the member. Of others it keeps the place until they come back, and a rebalance waits for them. */
export const isForgotten = (error: FairleadError): boolean => {
  const name = kafkaErrorOf(error)
  return name === 'UNKNOWN_MEMBER_ID' || name === 'FENCED_INSTANCE_ID'
}

/** Partitions that a member has not any more. */
export const lost = (partitions: readonly TopicPartition[], cause?: FairleadError): FairleadError =>
  createError({
    code: 'LEASE_LOST',
    message: `${partitions.map(({ topic, partition }) => `${topic}:${partition}`).join(', ')} went to another member of the group`,
    transport: 'kafka',
    cause,
    stack: false,
  })
