// The taxonomy, as users and adapters see it.
export { FairleadError, type FairleadErrorFields, type FairleadErrorJson, isFairleadError } from './base.ts'
export {
  ArbitraryError,
  CancelledError,
  CrashError,
  createError,
  InvalidError,
  OmissionError,
  RejectedError,
  ResponseError,
  type Stamp,
  stamp,
  TimingError,
  withFields,
} from './classes.ts'
export { classify, type Hints } from './classify.ts'
export type { TableHints } from './classify-facts.ts'
export { type StatusHints, statusToError } from './classify-http.ts'
export { CODES, type Code, type CodeFacts, type Effect, isCode, type Kind, type Verdict } from './codes.ts'
export { headerOf, parseRetryAfter } from './retry-after.ts'
export { verdictOf } from './verdict.ts'
export {
  fromProblem,
  isProblemType,
  PROBLEM_TYPE,
  type Problem,
  type ProblemBody,
  type ProblemOptions,
  statusOf,
  toProblem,
} from './wire.ts'
