// When messages that wait are handled: the seam for rules like "ten of them" or "two urgent ones". Rules are pure functions of what waits;
// the consumer asks them, holds messages until they are met, and knows how each transport lets it wait.

/** What a rule sees. */
export interface Waiting {
  /** How many messages wait, at the broker (where they are only counted) and in this consumer together. */
  readonly count: number
  /** How many of them have at least this priority. Only of priorities that the trigger names in `priorities`. */
  atOrAbove(priority: number): number
  /** For how long the oldest has been seen waiting; 0 where none waits. */
  readonly waitedMs: number
  /** Since messages were last released, or since the start. */
  readonly sinceReleaseMs: number
}

/** What a rule answers: so many are released now, the longest waiting first (Infinity: all), or ask again after so long at the latest. */
export type TriggerAnswer =
  | { readonly release: number }
  /** Absent: only a new message can change the answer. */
  | { readonly askAgainMs?: number | undefined }

/** A rule that says when waiting messages are handled. Each release goes to the handlers; with `batch`, as one call. */
export interface Trigger {
  readonly name: string
  /** For `describe`. */
  readonly options: Readonly<Record<string, unknown>>
  /** How many messages it must be able to see at once. The consumer holds up to so many. */
  readonly sees: number
  /** Priorities that it asks for with `atOrAbove`. Default none. */
  readonly priorities?: readonly number[] | undefined
  /** How often the broker is asked, where messages are counted there instead of held here, milliseconds. Default 1,000. */
  readonly pollMs?: number | undefined
  /** It is asked again after each arrival and each release. It keeps no state: several consumers may share one. */
  decide(waiting: Waiting): TriggerAnswer
}

/** Every message as it comes: what holds where no trigger is given. With `batch`, one call takes all that wait, up to `prefetch`. */
export const onArrival: Trigger = Object.freeze({
  name: 'on-arrival',
  options: Object.freeze({}),
  sees: 1,
  decide: ({ count }: Waiting): TriggerAnswer => (count > 0 ? { release: Infinity } : {}),
})
