// The inbox of consumers, and the other promise that is often taken for it.
export type { InboxOptions, InboxPlace } from './types.ts'
export { type WindowDedupeOptions, windowDedupe } from './window-dedupe.ts'
