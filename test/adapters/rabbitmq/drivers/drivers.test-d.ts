import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib'
import type { Connection } from 'rabbitmq-client'
import { describe, expectTypeOf, it } from 'vitest'
import type { AmqpDriver } from '../../../../src/adapters/rabbitmq/driver.ts'
import { amqplibDriver } from '../../../../src/adapters/rabbitmq/drivers/amqplib.ts'
import type {
  AmqplibChannel,
  AmqplibConfirmChannel,
  AmqplibConnection,
} from '../../../../src/adapters/rabbitmq/drivers/amqplib-types.ts'
import {
  type RabbitmqClientConnection,
  rabbitmqClientDriver,
} from '../../../../src/adapters/rabbitmq/drivers/rabbitmq-client.ts'

declare const connection: Connection
declare const model: ChannelModel

describe('the clients fit as they are', () => {
  it('amqplib', () => {
    expectTypeOf<ChannelModel>().toExtend<AmqplibConnection>()
    expectTypeOf<Channel>().toExtend<AmqplibChannel>()
    expectTypeOf<ConfirmChannel>().toExtend<AmqplibConfirmChannel>()
    expectTypeOf(amqplibDriver(async () => model)).toEqualTypeOf<AmqpDriver>()
    // @ts-expect-error a connection that is made cannot be made again: give how to connect
    amqplibDriver(model)
  })
  it('rabbitmq-client', () => {
    expectTypeOf<Connection>().toExtend<RabbitmqClientConnection>()
    expectTypeOf(rabbitmqClientDriver(connection)).toEqualTypeOf<AmqpDriver>()
  })
})
