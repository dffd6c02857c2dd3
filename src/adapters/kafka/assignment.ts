// Who of a group gets which partitions: what somebody is at work on stays for now, what somebody has stays if that is fair, and the rest is spread evenly.
// The bytes are those of Kafka's consumer protocol, so that tools can read them:
// https://github.com/apache/kafka/blob/4.0/clients/src/main/resources/common/message/ConsumerProtocolSubscription.json

/** The protocol's name: members that do not know it (other libraries) and members that do agree on another that both know. */
export const ASSIGNOR = 'fairlead-sticky'

/** What Java, librdkafka and kafkajs offer by default: with their members in the group one of these is agreed on. How a leader assigns is its own matter. */
export const COMMON_ASSIGNORS: readonly string[] = Object.freeze(['range', 'roundrobin', 'RoundRobinAssigner'])

/** Partitions by topic. */
export type ByTopic = Readonly<Record<string, readonly number[]>>

/** What a member asks for. */
export interface Claim {
  /** Had before, and nothing held of them. */
  readonly owned: ByTopic
  /** Something is held of them: they must not go to somebody else now. */
  readonly held: ByTopic
}

/** A member and its claim. */
export interface Claimant {
  readonly id: string
  /** What it is subscribed to. Absent: to all. Members of other libraries know nothing of the topics beside a channel. */
  readonly topics?: readonly string[] | undefined
  readonly claim: Claim
}

/** What each member gets, by its id. A member that gets nothing is there with nothing. */
export function assign(partitions: ByTopic, members: readonly Claimant[]): Map<string, Record<string, number[]>> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1))
  const result = new Map<string, Record<string, number[]>>(sorted.map(({ id }) => [id, {}]))
  const counts = new Map<string, number>(sorted.map(({ id }) => [id, 0]))
  const free = new Map<string, Set<number>>(Object.entries(partitions).map(([topic, all]) => [topic, new Set(all)]))
  const total = Object.values(partitions).reduce((sum, { length }) => sum + length, 0)
  const give = (id: string, topic: string, partition: number): void => {
    free.get(topic)?.delete(partition)
    const mine = result.get(id) as Record<string, number[]>
    ;(mine[topic] ??= []).push(partition)
    counts.set(id, (counts.get(id) as number) + 1)
  }
  // Where it does not come out even, so many have one more than the others.
  const least = Math.floor(total / Math.max(sorted.length, 1))
  let more = total - least * sorted.length
  const mayKeep = (id: string): boolean => {
    const count = counts.get(id) as number
    if (count < least) return true
    if (count > least || more === 0) return false
    more--
    return true
  }
  const claimed = (what: keyof Claim, may: (id: string) => boolean): void => {
    for (const { id, claim } of sorted)
      for (const [topic, wanted] of Object.entries(claim[what]))
        for (const partition of wanted) if (free.get(topic)?.has(partition) && may(id)) give(id, topic, partition)
  }
  claimed('held', () => true)
  for (const count of counts.values()) if (count > least && more > 0) more--
  claimed('owned', mayKeep)
  for (const [topic, left] of free)
    for (const partition of left) {
      let poorest: string | undefined
      for (const { id, topics } of sorted) {
        if (topics?.includes(topic) === false) continue
        if (poorest === undefined || (counts.get(id) as number) < (counts.get(poorest) as number)) poorest = id
      }
      if (poorest !== undefined) give(poorest, topic, partition)
    }
  return result
}

/** The most that a member keeps of what it has. */
export function fairShare(partitions: number, members: number): number {
  return Math.ceil(partitions / Math.max(members, 1))
}

/** The subscription of a member: version 0, with the claim as user data. */
export function encodeSubscription(topics: readonly string[], claim: Claim): Buffer {
  return Buffer.concat([int16(0), int32(topics.length), ...topics.map(text), bytes(Buffer.from(JSON.stringify(claim)))])
}

/** Topics and claim of a subscription; without a claim where there is none or it cannot be read. */
export function decodeSubscription(metadata: Buffer): Omit<Claimant, 'id'> {
  const topics: string[] = []
  try {
    let at = 2
    let count = metadata.readInt32BE(at)
    at += 4
    for (; count > 0; count--) {
      const length = metadata.readInt16BE(at)
      topics.push(metadata.toString('utf8', at + 2, at + 2 + length))
      at += 2 + length
    }
    const length = metadata.readInt32BE(at)
    const claim = JSON.parse(metadata.toString('utf8', at + 4, at + 4 + length)) as Partial<Claim>
    return { topics, claim: { owned: claim.owned ?? {}, held: claim.held ?? {} } }
  } catch {
    return { topics, claim: { owned: {}, held: {} } }
  }
}

/** The assignment of a member: version 0. */
export function encodeAssignment(assignment: Readonly<Record<string, readonly number[]>>): Buffer {
  const topics = Object.entries(assignment)
  return Buffer.concat([
    int16(0),
    int32(topics.length),
    ...topics.flatMap(([topic, partitions]) => [text(topic), int32(partitions.length), ...partitions.map(int32)]),
    bytes(Buffer.alloc(0)),
  ])
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function text(value: string): Buffer {
  const content = Buffer.from(value)
  return Buffer.concat([int16(content.length), content])
}

function bytes(content: Buffer): Buffer {
  return Buffer.concat([int32(content.length), content])
}
