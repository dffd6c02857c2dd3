// Where groups are, by the request of the protocol: the package has no call that answers for all topics.
import type { Committed } from '../../driver.ts'
import { failureOfCode } from './failures.ts'
import type { Link } from './link.ts'
import type { PlatformaticKafka } from './types.ts'

/** One place of a group. */
export interface GroupPlace {
  readonly name: string
  readonly partition: number
  readonly place: Committed
}

/** Those that a group has, in these topics or (null) in all. @param settled not while a transaction has written offsets and has not ended */
export async function placesOf(
  kafka: Pick<PlatformaticKafka<never>, 'offsetFetchV8' | 'protocolErrorsCodesById'>,
  link: Link,
  group: string,
  topics: { name: string; partitionIndexes: number[] }[] | null,
  settled: boolean,
): Promise<readonly GroupPlace[]> {
  const broker = await link.coordinator(group)
  const asked = [{ groupId: group, memberId: null, memberEpoch: -1, topics }]
  const answer = await link.ask(broker, (connection) => kafka.offsetFetchV8.api.async(connection, asked, settled))
  const orThrow = (code: number): void => {
    if (code !== 0) throw failureOfCode(code, kafka.protocolErrorsCodesById, `reading what ${group} has committed`)
  }
  const places: GroupPlace[] = []
  for (const each of answer.groups) {
    orThrow(each.errorCode)
    for (const { name, partitions } of each.topics)
      for (const { partitionIndex, committedOffset, metadata, errorCode } of partitions) {
        orThrow(errorCode)
        if (committedOffset < 0n) continue
        places.push({
          name,
          partition: partitionIndex,
          place: { offset: Number(committedOffset), note: metadata ?? '' },
        })
      }
  }
  return places
}
