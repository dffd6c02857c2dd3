// The notification service: a mail for each order. It may be down for hours; the mails go out later.
import { createConsumer } from 'fairlead'
import { openCarrier } from './carrier.ts'
import { OrderEvents } from './contracts.ts'
import { openDatabase } from './database.ts'
import { runService } from './service.ts'

const { databases, broker, port } = JSON.parse(process.argv[2] as string)
const database = await openDatabase(databases, 'notification', '{mail} (order_id text not null)')
const { transport, listener } = openCarrier(broker)

const open = () =>
  createConsumer({
    transport,
    channel: OrderEvents,
    group: 'notification',
    inbox: database.store,
    handlers: {
      'order.placed': async ({ data }, { tx }) => {
        await database.run(tx, 'insert into {mail} (order_id) values (?)', data.orderId)
      },
    },
  })
let consumer = open()
await consumer.start()
await runService(listener, {
  port,
  mood: async ({ down }) => {
    if (down) await consumer.close()
    else if (consumer.health().state === 'closed') {
      consumer = open()
      await consumer.start()
    }
  },
})
