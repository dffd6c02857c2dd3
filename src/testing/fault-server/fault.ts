// The catalogue: every behaviour under one name, `fault`.
export {
  brokenCompression,
  compressed,
  hugeBody,
  json,
  malformedJson,
  oversizedHeaders,
  redirectLoop,
  retryAfter,
  status,
  wrongContentType,
} from './answers.ts'
export { finAtAccept, finAtBytes, hangAtAccept, plainReply, resetAtAccept, resetAtBytes } from './connection-faults.ts'
export { finBeforeHead, resetAfterRequest, resetInRequest, truncatedBody, truncatedChunks } from './cuts.ts'
export { delayed, hangBeforeHead, hangInBody, slowDrip } from './delays.ts'
export {
  badChunk,
  badHeader,
  badStatusLine,
  conflictingLengths,
  extraBytes,
  lengthAndChunked,
  notHttp,
  raw,
  staleKeepAlive,
  strayContinue,
} from './http1-faults.ts'
export {
  cancelledStream,
  enhanceYourCalm,
  enhanceYourCalmSession,
  goaway,
  internalError,
  noErrorEarly,
  protocolError,
  refusedStream,
  resetStream,
} from './http2-faults.ts'
