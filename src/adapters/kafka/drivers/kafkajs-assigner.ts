// fairlead's way to share partitions, as an assigner of kafkajs.
import { assign, type Claim, decodeSubscription, encodeAssignment, encodeSubscription } from '../assignment.ts'
import type { KafkaJsAssigner, KafkaJsCluster } from './kafkajs-types.ts'

/** @param claim asked at each attempt to join; what it throws makes the attempt fail */
export function assignerOf(name: string, cluster: KafkaJsCluster, claim: () => Claim): KafkaJsAssigner {
  return {
    name,
    version: 0,
    protocol: ({ topics }) => ({ name, metadata: encodeSubscription(topics, claim()) }),
    assign: async ({ members, topics }) => {
      const all = Object.fromEntries(
        topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)]),
      )
      const claimants = members.map(({ memberId, memberMetadata }) => ({
        id: memberId,
        ...decodeSubscription(memberMetadata),
      }))
      return [...assign(all, claimants)].map(([memberId, assignment]) => ({
        memberId,
        memberAssignment: encodeAssignment(assignment),
      }))
    },
  }
}
