// Nest microservices, the peer for both brokers: a controller with an event handler, and its client. Its packages are installed for the bench only and have no types here.
import { setTimeout as wait } from 'node:timers/promises'
import type { Order, Way } from './serving.ts'

const peer = (module: string): Promise<any> => import(module)

/** What differs between the brokers. */
export interface NestSide {
  /** The event that the handler is for: of Kafka the topic. */
  readonly pattern: string
  /** Options of a microservice that takes. */
  readonly server: (nest: any) => object
  /** Options of the client. */
  readonly client: (nest: any) => object
  /** Publishes a list; resolves once all is confirmed. */
  readonly publish: (
    client: any,
    orders: readonly Order[],
    settled: (emitted: unknown) => Promise<unknown>,
  ) => Promise<unknown>
  /** What a handler does with its message once it has ended well. */
  readonly done?: ((context: any) => void) | undefined
  readonly left: Way['left']
}

/** The way of a broker. */
export async function nestWay({ pattern, server, client, publish, done, left }: NestSide): Promise<Way> {
  await peer('reflect-metadata')
  const nest = await peer('@nestjs/microservices')
  const { Controller, Module } = await peer('@nestjs/common')
  const { NestFactory } = await peer('@nestjs/core')
  const { lastValueFrom } = await peer('rxjs')
  const sender = nest.ClientProxyFactory.create(client(nest))
  return {
    async publish(orders) {
      await sender.connect()
      await publish(sender, orders, (emitted) => lastValueFrom(emitted, { defaultValue: undefined }))
    },
    async take(handle) {
      class Orders {
        async placed(order: Order, context: any): Promise<void> {
          await handle(order)
          done?.(context)
        }
      }
      // As the compiler applies decorators.
      const { prototype } = Orders
      nest.EventPattern(pattern)(prototype, 'placed', Object.getOwnPropertyDescriptor(prototype, 'placed'))
      nest.Payload()(prototype, 'placed', 0)
      nest.Ctx()(prototype, 'placed', 1)
      Controller()(Orders)
      class Service {}
      Module({ controllers: [Orders] })(Service)
      const app = await NestFactory.createMicroservice(Service, { ...server(nest), logger: ['error', 'fatal'] })
      await app.listen()
      return async () => {
        // Its end does not wait for the acknowledgements of what was just handled.
        await wait(200)
        await app.close()
      }
    },
    left,
  }
}
