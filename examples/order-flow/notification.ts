// The notification service: a mail for each order. It may be down for hours; the mails go out later.
import { createConsumer } from 'fairlead'
import { httpPushTransport } from 'fairlead/http-push'
import { OrderEvents } from './contracts.ts'
import { openDatabase } from './database.ts'
import { runService } from './service.ts'

const { databases, port } = JSON.parse(process.argv[2] as string)
const database = await openDatabase(databases, 'notification', '{mail} (order_id text not null)')
const transport = httpPushTransport()

const consumer = createConsumer({
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
await consumer.start()
await runService(transport.node(), { port })
