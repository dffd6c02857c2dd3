// CloudEvents, for those who write a transport.
export { fromAttributes, toAttributes, USUAL_ATTRIBUTES } from './attributes.ts'
export {
  BATCH_TYPE,
  fromHttp,
  type HttpHeaders,
  type HttpMessage,
  STRUCTURED_TYPE,
  toHttp,
  toHttpBatch,
} from './http.ts'
export { fromStructured, toStructured } from './structured.ts'
