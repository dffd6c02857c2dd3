// The consumer side of fairlead/messaging.
export { createConsumer } from './create-consumer.ts'
export {
  type DeadOutcome,
  dead,
  isOutcome,
  type Outcome,
  type RetryOutcome,
  type RetryRequest,
  retry,
} from './outcomes.ts'
export { onArrival, type Trigger, type TriggerAnswer, type Waiting } from './trigger.ts'
export type {
  BatchHandler,
  CloseOptions,
  Consumer,
  ConsumerCommonOptions,
  ConsumerHealth,
  ConsumerOptions,
  DeadLetterPlace,
  HandlerContext,
  InboxConsumerOptions,
  MessageHandlers,
  OnFailure,
  RetryPlan,
  ThrottlePlan,
  TransactionContext,
} from './types.ts'
