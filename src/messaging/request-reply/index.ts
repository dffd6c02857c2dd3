// Questions and answers over messages: a request is a message, and so are its replies.

export { createExchange, type Exchange, type ExchangeOptions, type ExchangeStats } from './exchange.ts'
export { createRequester, isRequestFailure } from './requester.ts'
export { createResponder } from './responder.ts'
export { createStoredRequester } from './stored-requester.ts'
export type {
  PendingRequest,
  StateIn,
  StoredContext,
  StoredHandlers,
  StoredRequest,
  StoredRequester,
  StoredRequesterOptions,
  StoredRequesterStats,
  StoredRequestOptions,
  StoredRequestPlace,
} from './stored-types.ts'
export type {
  Gathered,
  GatherOptions,
  InboxResponderOptions,
  ReplyMessage,
  RequestContext,
  Requester,
  RequesterOptions,
  RequestHandlers,
  RequestOptions,
  RequestResult,
  Responder,
  ResponderCommonOptions,
  ResponderOptions,
  ResponderStats,
  TransactionRequestContext,
  TransactionRequestHandlers,
} from './types.ts'
