// HTTP push: what users get.
export { httpPushCapabilities } from './capabilities.ts'
export type { PushFetch } from './fetch.ts'
export type { PushListener } from './node.ts'
export type { FindSubscribers, HttpPushEvent, HttpPushOptions, Subscribers, Urls } from './options.ts'
export type { SigningOptions } from './signature.ts'
export { type HttpPushTransport, httpPushTransport } from './transport.ts'
