// The conformance suite of messaging transports: the other half of core/contracts/transport.ts.

export type { TestRunner } from '../test-runner.ts'
export type { CaseFacts, Need, TransportCase } from './case.ts'
export { inEachMode, oneCase, onQueues, onTopics } from './case.ts'
export { claimsOf } from './claims.ts'
export type { CollectOptions, Collector, Handed, Reaction } from './collector.ts'
export type { LabOpenOptions, Mode, TransportLab } from './lab.ts'
export { runTransportSuite, type TransportSuiteOptions, type TransportSuiteReport, transportCases } from './run.ts'
export { testTransport } from './test-transport.ts'
export type { Waiting } from './waiting.ts'
export type { MessageSpec, Place, Workbench } from './workbench.ts'
