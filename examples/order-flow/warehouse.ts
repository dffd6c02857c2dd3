// The warehouse: ships each order once. A shipment and the note that its message was handled are one commit.
import { createConsumer } from 'fairlead'
import { openCarrier } from './carrier.ts'
import { OrderEvents } from './contracts.ts'
import { openDatabase } from './database.ts'
import { runService } from './service.ts'

const { databases, broker, port } = JSON.parse(process.argv[2] as string)
const database = await openDatabase(
  databases,
  'warehouse',
  '{shipment} (order_id text not null, message text not null)',
)
const { transport, listener } = openCarrier(broker)
let dieAfter = Number.POSITIVE_INFINITY

const consumer = createConsumer({
  transport,
  channel: OrderEvents,
  group: 'warehouse',
  inbox: database.store,
  handlers: {
    'order.placed': async ({ id, data }, { tx }) => {
      // No unique index: if one were shipped twice, the demo would count it.
      await database.run(tx, 'insert into {shipment} (order_id, message) values (?, ?)', data.orderId, id)
      if (--dieAfter === 0) process.kill(process.pid, 'SIGKILL') // in the middle: written, and not committed
    },
  },
})
await consumer.start()
await runService(listener, {
  port,
  mood: (mood) => {
    dieAfter = mood.dieAfter ?? Number.POSITIVE_INFINITY
  },
})
