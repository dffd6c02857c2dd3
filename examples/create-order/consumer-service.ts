// Knows the consumers: may this one order for so much? What is allowed is held until the order is paid, or released.
import { createResponder } from 'fairlead/messaging'
import { Consumers } from './channels.ts'
import { openGround, type Place } from './ground.ts'

/** `credit`: how much each consumer may have open, cents. */
export async function consumerService(place: Place, credit: Readonly<Record<string, number>>) {
  const ground = await openGround('consumers', place, 'held (order_id text, consumer_id text, cents integer)')
  const { store, outbox } = ground
  const responder = createResponder({
    ...{ transport: place.transport, channel: Consumers, inbox: store, outbox }, // what is held, and the reply: one commit
    handlers: {
      'consumer.validate': ({ data: { orderId, consumerId, cents } }, { tx, fail }) => {
        const most = credit[consumerId] ?? fail('REFUSED', { why: `nobody is called ${consumerId}` })
        const sum = 'select coalesce(sum(cents), 0) as cents from held where consumer_id = ?'
        const held = Number((tx.prepare(sum).get(consumerId) as { cents: number | bigint }).cents)
        if (held + cents > most) return fail('REFUSED', { why: `${consumerId} has ${most - held} cents left` })
        tx.prepare('insert into held values (?, ?, ?)').run(orderId, consumerId, cents)
        return {}
      },
      'consumer.release': ({ data }, { tx }) => tx.prepare('delete from held where order_id = ?').run(data.orderId),
    },
  })
  await responder.start()
  return { file: ground.file, close: () => responder.close().then(() => ground.close()) }
}
