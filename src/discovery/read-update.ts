// A source may be anybody's: what it tells is looked at before it is believed.

/** The word of a source, read: absent is nobody, and what cannot be read is an error. */
export type Answer = {
  readonly type: 'answer'
  /** False: the registry does not know the service at all. */
  readonly found: boolean
  /** Not looked at yet. */
  readonly endpoints: readonly unknown[]
  readonly ttlMs: number | undefined
  readonly note: string | undefined
}

/** The source did not answer. */
export type Failure = {
  readonly type: 'error'
  readonly error: unknown
  readonly retryInMs: number | undefined
}

/** Reads one word. */
export function readUpdate(update: unknown): Answer | Failure {
  if (typeof update !== 'object' || update === null) return unreadable(update)
  const { type, endpoints, error, retryInMs, ttlMs, note } = update as Record<string, unknown>
  if (type === 'error')
    return {
      type,
      error: error ?? new Error('the source failed and does not say why'),
      retryInMs: typeof retryInMs === 'number' && retryInMs >= 0 ? retryInMs : undefined,
    }
  if (type === 'absent') return { type: 'answer', found: false, endpoints: [], ttlMs: undefined, note: undefined }
  if (type !== 'snapshot' || !Array.isArray(endpoints)) return unreadable(update)
  return {
    type: 'answer',
    found: true,
    endpoints,
    ttlMs: typeof ttlMs === 'number' && ttlMs >= 0 ? ttlMs : undefined,
    note: typeof note === 'string' ? note : undefined,
  }
}

function unreadable(update: unknown): Failure {
  const what = update === null ? 'null' : typeof update
  return {
    type: 'error',
    error: new TypeError(`the source told ${what} where an update was due`),
    retryInMs: undefined,
  }
}
