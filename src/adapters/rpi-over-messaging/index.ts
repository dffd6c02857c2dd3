// fairlead/rpi-over-messaging: one contract, served over a queue as it is over HTTP.
export type { FetchServer } from '../memory/rpi.ts'
export type { ServeOptions } from './options.ts'
export { type ServedOverMessaging, type ServedStats, serveOverMessaging } from './serve.ts'
export { type MessagingRpiOptions, type MessagingRpiTransport, messagingRpiTransport } from './transport.ts'
export { rpiQueue } from './wire.ts'
