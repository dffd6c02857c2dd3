// Publishing by committing: outbox and relay.
export { createOutbox } from './outbox.ts'
export { createRelay } from './relay.ts'
export type {
  Outbox,
  OutboxOptions,
  OutboxPlace,
  OutboxReceipt,
  Relay,
  RelayHealth,
  RelayOptions,
} from './types.ts'
