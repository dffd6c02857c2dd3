// The message as users see it, and the envelope as transports carry it.

/** A CloudEvent with extensions; wire names are in design.md section 5. */
export interface Message<Data = unknown> {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly version: number
  readonly time: number
  readonly subject?: string
  /** Messages of one key keep their order. */
  readonly key?: string
  readonly priority?: number
  readonly notBefore?: number
  readonly expiresAt?: number
  readonly correlationId?: string
  readonly causationId?: string
  readonly replyTo?: ChannelAddress
  readonly headers: Readonly<Record<string, string>>
  readonly data: Data
}

export interface ChannelAddress {
  readonly kind: 'queue' | 'topic'
  readonly name: string
}

/** An encoded message, as a transport carries it. */
export interface Envelope {
  /** Where a foreign message has none, derived from its position. */
  readonly id: string
  readonly key?: string
  readonly priority?: number
  readonly notBefore?: number
  readonly expiresAt?: number
  readonly attributes: Readonly<Record<string, string>>
  readonly body: Uint8Array
}
