// fairlead's way to share partitions, as an assigner of kafkajs.
import {
  ASSIGNOR,
  assign,
  type Claim,
  COMMON_ASSIGNORS,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../assignment.ts'
import type { KafkaJsAssigner, KafkaJsCluster } from './kafkajs-types.ts'

type MakeAssigner = (made: { readonly cluster: KafkaJsCluster }) => KafkaJsAssigner

/** Ours, and under the names of others as well. @param claim asked of each at each attempt to join; what it throws makes the attempt fail */
export function assigners(claim: (name: string) => Claim): MakeAssigner[] {
  return [ASSIGNOR, ...COMMON_ASSIGNORS].map(
    (name) =>
      ({ cluster }) =>
        assignerOf(name, cluster, () => claim(name)),
  )
}

function assignerOf(name: string, cluster: KafkaJsCluster, claim: () => Claim): KafkaJsAssigner {
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
