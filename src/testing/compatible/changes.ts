// What a comparison says, in words that name the change from the older to the newer.

/** How a part changed. */
export type ChangeKind =
  /** It is there no more. */
  | 'removed'
  /** It has another name; what it holds is the same. */
  | 'renamed'
  /** It must be given now. */
  | 'required'
  /** It need not be there any more, and readers rely on it. */
  | 'optional'
  /** What was accepted is refused now. */
  | 'narrowed'
  /** What older readers do not know can come now. */
  | 'widened'
  /** It is something else now: another type, route, direction of streaming. */
  | 'changed'

/** One change, with the path of what changed: `operations.reserve.input.sku`. */
export interface Change {
  readonly path: string
  readonly kind: ChangeKind
  /** In words. */
  readonly what: string
}

/** A part that could not be compared, and why. */
export interface Incomparable {
  readonly path: string
  readonly why: string
}

/** What a comparison found. */
export interface Comparison {
  readonly breaks: readonly Change[]
  /** Parts whose meaning JSON Schema cannot say (a transform, a refinement), on either side: look at them yourself. */
  readonly notComparable: readonly Incomparable[]
  /** Paths of `reviewed` at which nothing was found: misspelt, or settled since. */
  readonly reviewedForNothing: readonly string[]
}
