// @confluentinc/kafka-javascript as servers/confluent.sh has built it. It is no dependency: an installation of it takes a compiler, and minutes.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { ConfluentClient } from 'fairlead/kafka'
import { builtProgram } from './servers.ts'

/** Its client, in the form that is compatible with kafkajs. */
export const confluentKafka = (config: object): ConfluentClient => {
  const built = builtProgram('confluent')
  if (built === undefined)
    throw new Error('@confluentinc/kafka-javascript is not built: test/services/up confluent does it')
  const { KafkaJS } = createRequire(join(built, 'package.json'))('@confluentinc/kafka-javascript') as {
    readonly KafkaJS: { readonly Kafka: new (config: object) => ConfluentClient }
  }
  return new KafkaJS.Kafka(config)
}
