import * as platformatic from '@platformatic/kafka'
import { Kafka } from 'kafkajs'
import { describe, expectTypeOf, it } from 'vitest'
import type { KafkaDriver } from '../../../../src/adapters/kafka/driver.ts'
import { kafkaJsDriver } from '../../../../src/adapters/kafka/drivers/kafkajs.ts'
import type { KafkaJsClient } from '../../../../src/adapters/kafka/drivers/kafkajs-types.ts'
import {
  type PlatformaticAdmin,
  type PlatformaticKafka,
  platformaticKafkaDriver,
} from '../../../../src/adapters/kafka/drivers/platformatic.ts'

const brokers = { clientId: 'orders', bootstrapBrokers: ['kafka:9092'] }

describe('the clients fit as they are', () => {
  it('kafkajs', () => {
    expectTypeOf<Kafka>().toExtend<KafkaJsClient>()
    expectTypeOf(kafkaJsDriver(new Kafka({ brokers: ['kafka:9092'] }))).toEqualTypeOf<KafkaDriver>()
    // @ts-expect-error a producer is not the client
    kafkaJsDriver(new Kafka({ brokers: ['kafka:9092'] }).producer())
  })
  it('@platformatic/kafka', () => {
    expectTypeOf<typeof platformatic>().toExtend<PlatformaticKafka<platformatic.AdminOptions>>()
    expectTypeOf<platformatic.Admin>().toExtend<PlatformaticAdmin>()
    expectTypeOf(platformaticKafkaDriver(platformatic, brokers)).toEqualTypeOf<KafkaDriver>()
    expectTypeOf(
      platformaticKafkaDriver(platformatic, { ...brokers, sasl: { mechanism: 'PLAIN', username: 'a', password: 'b' } }),
    ).toEqualTypeOf<KafkaDriver>()
    // @ts-expect-error the options are those of its clients
    platformaticKafkaDriver(platformatic, { clientId: 'orders' })
    // @ts-expect-error a client is not the module
    platformaticKafkaDriver(new platformatic.Admin(brokers), brokers)
  })
})
