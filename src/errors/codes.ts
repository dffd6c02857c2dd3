// The closed table of codes: one row says all that is known of a failure before any call is made.
// docs/errors.md is generated from it, `classify` answers in its words, and retry, breaker and fallback decide by it.

/** The five failures of distributed systems, and three that are none: refused, given up by the caller, the caller's own fault. */
export type Kind = 'crash' | 'omission' | 'timing' | 'response' | 'arbitrary' | 'rejected' | 'cancelled' | 'invalid'

/** What the peer did, as far as can be known. */
export type Effect = 'none' | 'unknown' | 'done'

/** What a circuit breaker makes of the outcome. */
export type Verdict = 'failure' | 'neutral' | 'success'

/** One row of the table of codes. */
export interface CodeFacts {
  readonly kind: Kind
  /** The effect where nothing more is known. A transport that measured, or a system call that proves it, may know better. */
  readonly effect: Effect
  /** Whether the same call could go well later. */
  readonly transient: boolean
  readonly breaker: Verdict
  /** Who refused; for kind `rejected` only. */
  readonly refusedBy?: 'self' | 'peer'
  /** What it means, in a sentence. */
  readonly meaning: string
  /** What to do about it, in a sentence. */
  readonly advice: string
  /** HTTP status when such an error leaves through a server adapter. Default by kind. */
  readonly status?: number
}

type Row = readonly [
  Kind,
  Effect,
  'transient' | 'permanent',
  Verdict,
  string,
  string,
  (number | undefined)?,
  ('self' | 'peer')?,
]

/** The closed list of codes. */
// biome-ignore format: shorter than one a line
export type Code =
  | 'CONNECTION_REFUSED' | 'HOST_UNREACHABLE' | 'NAME_NOT_FOUND' | 'NAME_LOOKUP_FAILED' | 'TLS_HANDSHAKE_CLOSED'
  | 'SESSION_CLOSED' | 'PROXY_FAILED' | 'BAD_GATEWAY' | 'NO_ENDPOINT' | 'CONNECTION_LOST' | 'REPLY_TRUNCATED'
  | 'STREAM_CANCELLED' | 'DEADLINE_EXCEEDED' | 'ATTEMPT_TIMEOUT' | 'TIMED_OUT' | 'CONNECT_TIMEOUT'
  | 'NAME_LOOKUP_TIMEOUT' | 'HEAD_TIMEOUT' | 'BODY_TIMEOUT' | 'REQUEST_TIMEOUT' | 'GATEWAY_TIMEOUT' | 'TOO_EARLY'
  | 'TOO_LATE' | 'BAD_REQUEST' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'NOT_FOUND' | 'CONFLICT' | 'UNPROCESSABLE'
  | 'MISDIRECTED' | 'EARLY_DATA_REFUSED' | 'TOO_MANY_REQUESTS' | 'UNAVAILABLE' | 'SERVER_ERROR' | 'NOT_SUPPORTED'
  | 'UNEXPECTED_REDIRECT' | 'REPLY_INVALID' | 'REPLY_TOO_LARGE' | 'DECLARED_FAILURE' | 'CALL_FAILED'
  | 'REPLY_UNDECODABLE' | 'PROTOCOL_VIOLATION' | 'HTTP2_VIOLATION' | 'HTTP2_CALM_DOWN' | 'TLS_FAILED'
  | 'CERTIFICATE_INVALID' | 'REDIRECT_LOOP' | 'SIGNATURE_INVALID' | 'DISAGREEMENT' | 'CIRCUIT_OPEN'
  | 'CIRCUIT_ISOLATED' | 'OUTSTANDING_LIMIT' | 'RATE_LIMITED' | 'RETRY_BUDGET_EXHAUSTED' | 'DEADLINE_SPENT'
  | 'SHUTDOWN' | 'SELF_EXHAUSTED' | 'STREAM_REFUSED' | 'CANCELLED' | 'INVALID_INPUT' | 'INVALID_OPTIONS'
  | 'UNROUTABLE' | 'CHANNEL_NOT_FOUND' | 'POSITION_EXPIRED' | 'TRANSACTION_CONFLICT' | 'MESSAGE_INVALID'
  | 'MESSAGE_UNHANDLED' | 'MESSAGE_UNDECODABLE' | 'LEASE_LOST' | 'CAPABILITY_MISSING' | 'INCOMPATIBLE'
  | 'TRANSACTION_REQUIRED' | 'IN_PROGRESS' | 'KEY_REUSED'
  | 'INVALID_REQUEST' | 'UNKNOWN_OPERATION' | 'PAYLOAD_TOO_LARGE' | 'NOT_REPLAYABLE' | 'PROGRAMMING_ERROR'

// biome-ignore format: a table is read by its rows
const rows: Readonly<Record<Code, Row>> = {
  // crash: the peer is gone
  CONNECTION_REFUSED: ['crash', 'none', 'transient', 'failure', 'Nobody listens at that address.', 'Is the service up, and is the address right? Another endpoint may answer.'],
  HOST_UNREACHABLE: ['crash', 'none', 'transient', 'failure', 'There is no route to the host.', 'Check the network and the address.'],
  NAME_NOT_FOUND: ['crash', 'none', 'transient', 'failure', 'The host name does not exist.', 'Check the name; a new name can take a while to be known.'],
  NAME_LOOKUP_FAILED: ['crash', 'none', 'transient', 'failure', 'The name server could not answer.', 'Check the name server; the name itself may be fine.'],
  TLS_HANDSHAKE_CLOSED: ['crash', 'none', 'transient', 'failure', 'The connection was closed before TLS was set up.', 'The peer may be restarting, or does not speak TLS on that port.'],
  SESSION_CLOSED: ['crash', 'none', 'transient', 'failure', 'The HTTP/2 session was closing.', 'The next attempt opens a new one; unless the effect is none, retry only what is idempotent.'],
  PROXY_FAILED: ['crash', 'none', 'transient', 'failure', 'The forward proxy could not reach the peer.', 'Check the proxy.'],
  BAD_GATEWAY: ['crash', 'unknown', 'transient', 'failure', 'A gateway could not reach the service behind it (502).', 'Look at the service behind the gateway.', 502],
  NO_ENDPOINT: ['crash', 'none', 'transient', 'neutral', 'No endpoint of the service is known.', 'Is any instance registered? Is the service name right?', 503],

  // omission: a request or a reply was lost
  CONNECTION_LOST: ['omission', 'unknown', 'transient', 'failure', 'The connection broke before the reply came.', 'The peer may or may not have done the work: retry only what is idempotent.'],
  REPLY_TRUNCATED: ['omission', 'unknown', 'transient', 'failure', 'The reply broke off in its middle.', 'The peer worked on it, and the answer was lost: retry only what is idempotent.'],
  STREAM_CANCELLED: ['omission', 'unknown', 'transient', 'failure', 'The peer gave up the HTTP/2 stream.', 'Retry only what is idempotent.'],

  // timing: too late, or too early
  DEADLINE_EXCEEDED: ['timing', 'unknown', 'transient', 'failure', 'The whole call took longer than its deadline.', 'Is the peer slow, or the deadline too tight?', 504],
  ATTEMPT_TIMEOUT: ['timing', 'unknown', 'transient', 'failure', 'One attempt took longer than its timeout.', 'The work may still be running at the peer: retry only what is idempotent.', 504],
  TIMED_OUT: ['timing', 'unknown', 'transient', 'failure', 'A timeout struck that is none of ours: of the wrapped client, or of the operating system.', 'Leave timeouts to fairlead, or raise the one of the client.', 504],
  CONNECT_TIMEOUT: ['timing', 'none', 'transient', 'failure', 'TCP or TLS was not set up in time.', 'The host may be down or its accept queue full; nothing was sent.', 504],
  NAME_LOOKUP_TIMEOUT: ['timing', 'none', 'transient', 'failure', 'The name server did not answer in time.', 'Check the name server.', 504],
  HEAD_TIMEOUT: ['timing', 'unknown', 'transient', 'failure', 'The head of the reply did not come in time.', 'Retry only what is idempotent.', 504],
  BODY_TIMEOUT: ['timing', 'unknown', 'transient', 'failure', 'The body of the reply stopped coming.', 'Retry only what is idempotent.', 504],
  REQUEST_TIMEOUT: ['timing', 'none', 'transient', 'neutral', 'The peer got our request too slowly and gave up (408).', 'Is the sender or the network slow?', 408],
  GATEWAY_TIMEOUT: ['timing', 'unknown', 'transient', 'failure', 'A gateway waited in vain for the service behind it (504).', 'Look at the service behind the gateway.', 504],
  TOO_EARLY: ['timing', 'none', 'transient', 'neutral', 'A message or reply came before its time.', 'Hold it until its notBefore.', 425],
  LEASE_LOST: ['timing', 'unknown', 'transient', 'neutral', 'The right to settle the message was lost: its lease ran out, or another receiver has it now.', 'It is handed out again. Was the handler too slow, or the event loop blocked?', 409],
  TOO_LATE: ['timing', 'none', 'permanent', 'neutral', 'A message or reply came after its time.', 'It has expired: drop it or ask again.', 410],

  // response: answered, with a failure or lacking what it should carry
  BAD_REQUEST: ['response', 'none', 'permanent', 'success', 'The peer calls the request wrong (4xx).', 'Mend the request; sending it again changes nothing.', 400],
  UNAUTHENTICATED: ['response', 'none', 'permanent', 'success', 'The peer does not know who asks (401, 407).', 'Send valid credentials.', 401],
  FORBIDDEN: ['response', 'none', 'permanent', 'success', 'The peer refuses this caller (403, 451).', 'Ask for the right.', 403],
  NOT_FOUND: ['response', 'none', 'permanent', 'success', 'The peer has no such thing (404, 410).', 'Check the address; it may be an answer rather than a fault.', 404],
  CONFLICT: ['response', 'none', 'permanent', 'success', 'The state at the peer forbids it (409, 412, 423, 428).', 'Read the state again, then decide.', 409],
  UNPROCESSABLE: ['response', 'none', 'permanent', 'success', 'The peer understood the request and cannot accept it (413, 415, 422).', 'Mend the content.', 422],
  MISDIRECTED: ['response', 'none', 'transient', 'neutral', 'The request reached a server that is not responsible (421).', 'Another connection may reach the right one.', 421],
  EARLY_DATA_REFUSED: ['response', 'none', 'transient', 'neutral', 'The peer does not take early data (425).', 'Send it again without early data.', 425],
  TOO_MANY_REQUESTS: ['response', 'none', 'transient', 'neutral', 'The peer has had enough of this caller (429).', 'Wait for Retry-After; lower the rate.', 429],
  UNAVAILABLE: ['response', 'unknown', 'transient', 'failure', 'The peer is overloaded or going down (503).', 'Wait for Retry-After; retry only what is idempotent, unless its contract says 503 means not processed.', 503],
  HTTP2_CALM_DOWN: ['response', 'unknown', 'transient', 'failure', 'The peer says that it gets too much (HTTP/2 ENHANCE_YOUR_CALM).', 'Lower the rate; retry only what is idempotent.', 503],
  SERVER_ERROR: ['response', 'unknown', 'transient', 'failure', 'The peer failed at the work (500, 507, 511, other 5xx).', 'Retry only what is idempotent; look at the log of the peer.', 500],
  NOT_SUPPORTED: ['response', 'unknown', 'permanent', 'failure', 'The peer cannot do that at all (501, 505, 506, 508, 510).', 'Check versions on both sides.', 501],
  UNEXPECTED_REDIRECT: ['response', 'unknown', 'permanent', 'neutral', 'The peer answered with a redirect that is not followed (3xx).', 'Use the address it points to.', 502],
  REPLY_INVALID: ['response', 'done', 'permanent', 'failure', 'The reply lacks what its schema needs.', 'The work is done and the answer unusable: compare the versions of the contract.', 502],
  REPLY_TOO_LARGE: ['response', 'unknown', 'permanent', 'neutral', 'The reply is larger than our limit.', 'Raise the limit, or ask for less.', 502],
  DECLARED_FAILURE: ['response', 'none', 'permanent', 'success', 'The operation answered with a failure that its contract declares.', 'It is an answer: handle it with isFailure().', 422],
  CALL_FAILED: ['response', 'unknown', 'transient', 'failure', 'The wrapped call threw an error without a known code.', 'Look at the cause; give `classify` to say what it means.', 500],
  UNROUTABLE: ['response', 'none', 'permanent', 'neutral', 'The broker took the message and had no place to put it.', 'Make the queue, the topic or the binding first: prepare() does.', 404],
  CHANNEL_NOT_FOUND: ['response', 'none', 'permanent', 'neutral', 'The broker has no such queue, topic or group.', 'Check the name, or make it: prepare(channels, "create") does.', 404],
  POSITION_EXPIRED: ['response', 'none', 'permanent', 'neutral', 'What stood at that position is no longer kept.', 'Some messages are out of reach: start from the earliest one that is kept, or rebuild from a snapshot.', 410],
  TRANSACTION_CONFLICT: ['response', 'none', 'transient', 'neutral', 'The database undid the transaction because of another one (serialization failure, deadlock).', 'Run the whole transaction again.', 409],
  MESSAGE_INVALID: ['response', 'none', 'permanent', 'neutral', 'The message lacks what its schema needs.', 'details.issues names each place: compare the versions of sender and receiver.', 422],
  MESSAGE_UNHANDLED: ['response', 'none', 'permanent', 'neutral', 'The channel has no such type of message, or the consumer no handler for it.', 'Compare the versions of sender and receiver.', 422],

  // arbitrary: breaks protocol, identity, agreement
  REPLY_UNDECODABLE: ['arbitrary', 'done', 'permanent', 'failure', 'The body of the reply cannot be decoded.', 'After a good status the work is done: look at the content type and at what stands between.', 502],
  PROTOCOL_VIOLATION: ['arbitrary', 'unknown', 'permanent', 'failure', 'The reply breaks the protocol.', 'Is it the right port? Look at what stands between.', 502],
  HTTP2_VIOLATION: ['arbitrary', 'unknown', 'transient', 'failure', 'The HTTP/2 stream ended with a protocol or internal error.', 'Retry only what is idempotent.', 502],
  MESSAGE_UNDECODABLE: ['arbitrary', 'none', 'permanent', 'neutral', 'The bytes of the message cannot be decoded.', 'It is no CloudEvent, or its codec is another one: look at the dead letter.', 400],
  TLS_FAILED: ['arbitrary', 'none', 'permanent', 'failure', 'TLS could not be agreed on.', 'Does the port speak TLS, and a common version?', 502],
  CERTIFICATE_INVALID: ['arbitrary', 'none', 'permanent', 'failure', 'The certificate of the peer does not prove who it is.', 'Check name, dates and issuer; never turn the check off.', 502],
  REDIRECT_LOOP: ['arbitrary', 'unknown', 'permanent', 'failure', 'The redirects do not end.', 'Mend the peer.', 502],
  SIGNATURE_INVALID: ['arbitrary', 'none', 'permanent', 'failure', 'The signature does not match.', 'Check keys on both sides; somebody may be forging.', 502],
  DISAGREEMENT: ['arbitrary', 'unknown', 'permanent', 'failure', 'The peers do not agree on the answer.', 'Ask which of them is right before you act.', 502],

  // rejected: refused, and surely not processed
  CIRCUIT_OPEN: ['rejected', 'none', 'transient', 'neutral', 'The circuit is open: the peer has failed too often.', 'Answer from a fallback; retryAfterMs says when it is tried again.', 503, 'self'],
  CIRCUIT_ISOLATED: ['rejected', 'none', 'permanent', 'neutral', 'The circuit was forced open by hand.', 'It stays open until forceClose() or reset().', 503, 'self'],
  OUTSTANDING_LIMIT: ['rejected', 'none', 'transient', 'neutral', 'Too many calls are outstanding.', 'The peer is slower than the load: shed load, or raise maxOutstanding if the peer can take it.', 503, 'self'],
  RATE_LIMITED: ['rejected', 'none', 'transient', 'neutral', 'Our own rate limit is reached.', 'Lower the rate, or raise the limit.', 429, 'self'],
  RETRY_BUDGET_EXHAUSTED: ['rejected', 'none', 'transient', 'neutral', 'Too many of the calls are retries already.', 'It is only ever noted on the last real error.', 503, 'self'],
  DEADLINE_SPENT: ['rejected', 'none', 'permanent', 'neutral', 'The deadline had passed before the call began.', 'The caller upstream has given up: stop working for it.', 504, 'self'],
  SHUTDOWN: ['rejected', 'none', 'permanent', 'neutral', 'This client is closed.', 'Make a new one, or stop calling while you shut down.', 503, 'self'],
  SELF_EXHAUSTED: ['rejected', 'none', 'transient', 'neutral', 'This process has run out of ports, files or buffers.', 'Raise the limits of this process; the peer is not to blame.', 503, 'self'],
  IN_PROGRESS: ['rejected', 'none', 'transient', 'neutral', 'The same message or request is being worked on now, by another delivery or call.', 'Wait for it to end, then ask again: the answer may be there.', 409, 'self'],
  STREAM_REFUSED: ['rejected', 'none', 'transient', 'neutral', 'The peer refused the HTTP/2 stream unprocessed (RFC 9113 section 8.7).', 'It is safe to send again, even a POST.', 503, 'peer'],

  CANCELLED: ['cancelled', 'unknown', 'permanent', 'neutral', 'The caller gave up.', 'The reason of the caller is the cause.', 499],

  // invalid: the caller's own fault, found here
  INVALID_INPUT: ['invalid', 'none', 'permanent', 'neutral', 'The input breaks the schema of the operation; it was not processed.', 'details.issues names each place.', 400],
  INVALID_OPTIONS: ['invalid', 'none', 'permanent', 'neutral', 'An option has a value that makes no sense.', 'The message names the option and the fix.', 500],
  CAPABILITY_MISSING: ['invalid', 'none', 'permanent', 'neutral', 'The transport does not promise what is asked of it.', 'The message compares the two; docs/support.md says which transports do.', 501],
  INCOMPATIBLE: ['invalid', 'none', 'permanent', 'neutral', 'A contract or channel breaks what was released.', 'details.changes names each break with its path.', 500],
  TRANSACTION_REQUIRED: ['invalid', 'none', 'permanent', 'neutral', 'There is no open transaction where one is needed.', 'Give the transaction that is open: `store.transaction(async (tx) => ...)`, or your own between BEGIN and COMMIT.', 500],
  KEY_REUSED: ['invalid', 'none', 'permanent', 'neutral', 'The idempotency key was used before with another request.', 'A key names one request for good: make a new one for another request.', 422],
  INVALID_REQUEST: ['invalid', 'none', 'permanent', 'neutral', 'The request cannot be sent as it is.', 'Mend method, headers or body.', 400],
  UNKNOWN_OPERATION: ['invalid', 'none', 'permanent', 'neutral', 'The contract has no such operation.', 'Check the name; compare the versions of the contract.', 404],
  PAYLOAD_TOO_LARGE: ['invalid', 'none', 'permanent', 'neutral', 'The payload is larger than the limit; nothing was sent.', 'Send less, or a reference to it.', 413],
  NOT_REPLAYABLE: ['invalid', 'none', 'permanent', 'neutral', 'The body was consumed and cannot be sent again.', 'Give a body that can be read twice, or do not retry.', 400],
  PROGRAMMING_ERROR: ['invalid', 'unknown', 'permanent', 'neutral', 'The code of the caller threw a TypeError or the like, or used a stream after its end.', 'Mend the code; the cause has the stack.', 500],
}

/** Facts of each code. */
export const CODES: Readonly<Record<Code, CodeFacts>> = Object.freeze(
  Object.fromEntries(
    Object.entries(rows as Record<string, Row>).map(
      ([code, [kind, effect, transience, breaker, meaning, advice, status, refusedBy]]) => [
        code,
        Object.freeze({
          kind,
          effect,
          transient: transience === 'transient',
          breaker,
          meaning,
          advice,
          ...(status === undefined ? {} : { status }),
          ...(refusedBy === undefined ? {} : { refusedBy }),
        }),
      ],
    ),
  ) as Record<Code, CodeFacts>,
)

/** Codes that say the peer has too much to do: a throttle, not only a failure. */
export const OVERLOAD: ReadonlySet<Code> = new Set<Code>(['TOO_MANY_REQUESTS', 'UNAVAILABLE', 'HTTP2_CALM_DOWN'])

/** Codes by which a peer says the same of itself, when they come over the wire. */
export const OVERLOAD_OF_PEER: ReadonlySet<Code> = new Set<Code>([
  'OUTSTANDING_LIMIT',
  'RATE_LIMITED',
  'SELF_EXHAUSTED',
])

/** Whether a string is one of the codes. */
export function isCode(candidate: unknown): candidate is Code {
  return typeof candidate === 'string' && Object.hasOwn(CODES, candidate)
}
