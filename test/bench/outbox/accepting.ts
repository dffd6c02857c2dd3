// A transport that accepts everything at once: what is left is the way to it.
import type { MessageTransport, SendResult } from 'fairlead/core'
import { memoryCapabilities } from 'fairlead/memory'

const ACCEPTED: SendResult = { status: 'accepted' }

/** Accepts everything, and calls `sent` with how many. */
export function acceptingTransport(
  sent: (envelopes: Parameters<MessageTransport['send']>[1]) => void,
): MessageTransport {
  return {
    name: 'accepting',
    capabilities: memoryCapabilities,
    async prepare() {},
    async send(_channel, envelopes) {
      sent(envelopes)
      return envelopes.map(() => ACCEPTED)
    },
    receive: () => Promise.reject(new Error('it only takes')),
    async close() {},
  }
}
