// The small face: the closed list of what the root exports. Nothing joins it without the design saying so.

/** What the root exports, sorted. */
export const ROOT_NAMES: readonly string[] = [
  'FairleadError',
  'call',
  'classify',
  'createConsumer',
  'createDiscovery',
  'createOutbox',
  'createProxy',
  'createRelay',
  'createServerAdapter',
  'defineContract',
  'describe',
  'httpTransport',
  'isFailure',
  'isFairleadError',
  'lastGood',
  'queue',
  'resilient',
  'topic',
  'value',
]
