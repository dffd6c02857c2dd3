// Recipe: workers that compete for a queue. Each e-mail is sent by whoever is free; a bad address stops nobody, an outage loses nothing.
import { createConsumer, queue } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { createPublisher, dead, retry } from 'fairlead/messaging'
import { z } from 'zod'

export const Emails = queue('emails', {
  'email.requested': z.object({ to: z.email(), subject: z.string(), text: z.string() }),
})

/** The key makes a provider send it once, although the message may come twice. */
export type SendMail = (mail: { to: string; subject: string; text: string }, key: string) => Promise<number>

export function emailWorker(transport: MessageTransport, send: SendMail) {
  return createConsumer({
    transport,
    channel: Emails,
    concurrency: 5,
    handlers: {
      'email.requested': async ({ id, data }) => {
        const status = await send(data, id) // a throw is retried: twice at once, then after 10, 30 and 60 s
        if (status === 429) return retry({ afterMs: 5_000 })
        if (status === 550) return dead(`nobody lives at ${data.to}`)
        return undefined
      },
    },
  })
}

export function emailRequests(transport: MessageTransport) {
  const publisher = createPublisher({ transport, source: '/shop/accounts' })
  return {
    welcome: (to: string) =>
      publisher.publish(Emails, { type: 'email.requested', data: { to, subject: 'Welcome', text: 'Come in.' } }),
  }
}
