// A server that fails on demand, to see what a client makes of it.
export type { AnyFault, ContentEncoding } from './answers.ts'
export type {
  AcceptedConnection,
  Behaviour,
  ConnectionFault,
  Exchange,
  FaultHeaders,
  Http1Exchange,
  Http2Exchange,
  RequestFault,
  RequestFaultBase,
  SeenRequest,
} from './behaviour.ts'
export { type CertificateKind, createServerCertificate, type ServerCertificate } from './certificates.ts'
export type { Http1Fault } from './cuts.ts'
export * as fault from './fault.ts'
export type { Http2Fault } from './http2-faults.ts'
export { type RefusedPort, refusedPort } from './refused-port.ts'
export type { Seen } from './seen.ts'
export { createFaultServer, type FaultServer, type FaultServerOptions } from './server.ts'
