// The message as users see it, and the envelope as transports carry it.

/** A CloudEvent with extensions; wire names are in design.md section 5. */
export interface Message<Data = unknown> {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly version: number
  /** Instants of a message are milliseconds since 1970: they leave the process. */
  readonly time: number
  readonly subject?: string | undefined
  /** Messages of one key keep their order. */
  readonly key?: string | undefined
  /** A whole number; higher is sooner. Absent: 0. */
  readonly priority?: number | undefined
  readonly notBefore?: number | undefined
  readonly expiresAt?: number | undefined
  readonly correlationId?: string | undefined
  readonly causationId?: string | undefined
  readonly replyTo?: ChannelAddress | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly data: Data
}

/** A queue or a topic by name. */
export interface ChannelAddress {
  readonly kind: 'queue' | 'topic'
  readonly name: string
}

/**
 * An encoded message, as a transport carries it. What has a field of its own here is in no attribute; together they are one CloudEvent
 * (wire names: `id partitionkey priority notbefore expirytime`).
 */
export interface Envelope {
  /** Where a foreign message has none, derived from its position. */
  readonly id: string
  readonly key?: string | undefined
  /** A whole number; higher is sooner. Absent: 0. */
  readonly priority?: number | undefined
  /** Milliseconds since 1970. */
  readonly notBefore?: number | undefined
  /** Milliseconds since 1970. */
  readonly expiresAt?: number | undefined
  /** The other attributes of the CloudEvent, by their wire names: `specversion source type time datacontenttype typeversion traceparent ...`. */
  readonly attributes: Readonly<Record<string, string>>
  /** Headers of the user. They are no CloudEvents attributes: each transport carries them under a prefix that its broker allows. Names are lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}
