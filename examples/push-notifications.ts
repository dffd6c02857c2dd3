// Recipe: push notifications to phones. The shop pushes each one over HTTP, signed; no broker between. A phone that is gone ends as a dead letter.
import { createServer } from 'node:http'
import { createConsumer, queue } from 'fairlead'
import { httpPushTransport } from 'fairlead/http-push'
import { createPublisher, dead, retry } from 'fairlead/messaging'
import { z } from 'zod'

export const Notifications = queue('notifications', {
  'parcel.moved': z.object({ device: z.string(), text: z.string() }),
})

/** What the vendor of the phone answers: an HTTP status. */
export type Notify = (device: string, text: string, key: string) => Promise<number>

/** The service that knows the phones. Several of them share the work. */
export async function phoneService(secret: string, notify: Notify) {
  const transport = httpPushTransport({ signing: { secrets: secret } })
  const consumer = createConsumer({
    transport,
    channel: Notifications,
    handlers: {
      'parcel.moved': async ({ id, data }) => {
        const status = await notify(data.device, data.text, id)
        if (status === 429) return retry({ afterMs: 1_000 }) // the shop waits so long, and tries again
        return status === 410 ? dead(`${data.device} has the app no more`) : undefined
      },
    },
  })
  await consumer.start() // first the consumer, then the server: before that, nobody would be there
  return { server: createServer(transport.node()), close: () => consumer.close().then(() => transport.close()) }
}

/** The shop: accepted means handled. */
export function shop(secret: string, phoneServices: readonly string[]) {
  const transport = httpPushTransport({ subscribers: { notifications: phoneServices }, signing: { secrets: secret } })
  const publisher = createPublisher({ transport, source: '/shop/parcels', deadlineMs: 10_000 })
  const moved = (device: string, text: string) =>
    publisher.result(Notifications, { type: 'parcel.moved', key: device, data: { device, text } })
  return { moved, transport, close: () => publisher.close().then(() => transport.close()) }
}
