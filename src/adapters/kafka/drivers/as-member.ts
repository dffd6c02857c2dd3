// What clients can do as a member of a group only, and the driver is asked for without one.
import type { Clock } from '../../../core/clock.ts'
import { uuidV7 } from '../../../core/uuid.ts'
import type { KafkaDriver, KafkaMember, KafkaReader, MemberEvents, PartitionOffset, ReaderEvents } from '../driver.ts'

const IDLE: MemberEvents = {
  onRebalancing: () => [],
  onAssigned: () => {},
  onRevoking: async () => {},
  onLost: () => {},
  onRecords: () => {},
  onEnded: () => {},
}

/** Joins, for a moment, and notes only what nobody has noted before: of two that make a group at once the second then finds what the first has noted. */
export async function commitAsMember(
  driver: Pick<KafkaDriver, 'join' | 'committed'>,
  group: string,
  offsets: readonly PartitionOffset[],
): Promise<void> {
  const topics = [...new Set(offsets.map(({ topic }) => topic))]
  const member = await driver.join(group, topics, IDLE)
  try {
    const known = new Map(
      await Promise.all(topics.map(async (topic) => [topic, await driver.committed(group, topic)] as const)),
    )
    const missing = offsets.filter(({ topic, partition }) => known.get(topic)?.[partition] === undefined)
    if (missing.length > 0) await member.commit(missing.map((each) => ({ ...each, note: '' })))
  } finally {
    await member.close()
  }
}

/** Reads as the only member of a group of a name that nobody else has, which commits nothing. @param forget called with the group's name at the end */
export async function readAsMember(
  clock: Clock,
  from: readonly PartitionOffset[],
  events: ReaderEvents,
  join: (group: string, topics: readonly string[], events: MemberEvents) => MemberToStart,
  forget: (group: string) => Promise<void>,
): Promise<KafkaReader> {
  const group = `fairlead-reader-${uuidV7(clock)}`
  const places = new Map(from.map((place) => [`${place.topic} ${place.partition}`, place.offset]))
  const member = join(group, [...new Set(from.map(({ topic }) => topic))], {
    ...IDLE,
    onAssigned: (assigned, kept) => {
      const same = new Set(kept.map(({ topic, partition }) => `${topic} ${partition}`))
      for (const each of assigned) {
        const place = `${each.topic} ${each.partition}`
        const offset = places.get(place)
        if (same.has(place) || offset === undefined) continue
        member.seek({ ...each, offset })
        member.resume([each])
      }
    },
    onRecords: (at, records) => {
      places.set(`${at.topic} ${at.partition}`, (records.at(-1)?.offset ?? -1) + 1)
      events.onRecords(at, records)
    },
    onEnded: (error) => events.onEnded(error),
  })
  await member.start()
  return {
    pause: (partitions) => member.pause(partitions),
    resume: (partitions) => member.resume(partitions),
    seek: (to) => {
      places.set(`${to.topic} ${to.partition}`, to.offset)
      member.seek(to)
    },
    close: async () => {
      await member.close()
      await forget(group)
    },
  }
}

/** A member that has not joined yet. */
export interface MemberToStart extends KafkaMember {
  /** Joins. Resolves with the first assignment. */
  start(): Promise<void>
}
