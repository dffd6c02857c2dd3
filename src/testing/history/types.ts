// What is written down of a run, and what can be wrong with it.

/** A message that was published by a commit. */
export interface SentEvent {
  /** `sent`: the commit is known to have gone well. `maybe`: its outcome is not known (the connection was lost on COMMIT). Rolled back ones are not recorded. */
  readonly event: 'sent' | 'maybe'
  /** Messages of one key keep their order. */
  readonly key: string
  /** Place among the messages of its key: rises in order of commit. Gaps are allowed. */
  readonly n: number
  /** Of the message; unique. */
  readonly id: string
  /** Ids of the messages whose handling published this one. */
  readonly causes?: readonly string[] | undefined
  /** The consumer that published it while it handled its causes. Default: any of them. */
  readonly by?: string | undefined
}

/** An effect, read from where it was made. Of one consumer: in order of application. */
export interface AppliedEvent {
  readonly event: 'applied'
  readonly consumer: string
  readonly key: string
  readonly n: number
  readonly id: string
  /** On a scale that all consumers share (a sequence of one database, one clock). Without it the effects of two consumers have no order. */
  readonly at?: number | undefined
}

/** One line of a history. */
export type HistoryEvent = SentEvent | AppliedEvent

/**
 * `lost`: committed, and a consumer never applied it. `twice`: applied again by the same consumer. `order`: applied after a later one of its key.
 * `cause`: applied though what it follows from was not, or not yet. `invented`: applied, and nobody published it like that.
 */
export type HistoryRule = 'lost' | 'twice' | 'order' | 'cause' | 'invented'

/** One breach of a rule. */
export interface HistoryViolation {
  readonly rule: HistoryRule
  readonly consumer: string
  readonly key: string
  readonly n: number
  readonly id: string
  /** What was expected and what was seen, in words. */
  readonly message: string
}

/** Which effects are asked for. */
export interface HistoryOptions {
  /** Consumers that apply what is published. Default: those that applied something. */
  readonly consumers?: readonly string[] | undefined
  /** Whether a consumer has to apply a message: not what it does not subscribe to, nor what was given up on purpose. Default: all of them. */
  readonly applies?: ((consumer: string, sent: SentEvent) => boolean) | undefined
  /** How many violations of each rule are kept in words; all are counted. Default 10. */
  readonly limit?: number | undefined
}

/** What a history comes to. */
export interface HistoryReport {
  readonly ok: boolean
  readonly sent: number
  /** Commits of unknown outcome, and how many of them turned out to have gone well. */
  readonly maybe: number
  readonly maybeCommitted: number
  readonly applied: number
  /** How often each rule was broken. */
  readonly broken: Readonly<Record<HistoryRule, number>>
  /** The first of each rule. */
  readonly violations: readonly HistoryViolation[]
}

/** Takes a history line by line. */
export interface HistoryChecker {
  /**
   * Effects of one consumer in order of application; otherwise in any order: what was sent may come after its effects.
   * @throws FairleadError `INVALID_INPUT` for an id that is recorded twice as sent, and a number that is none
   */
  add(event: HistoryEvent): void
  /** Looks at all of it. More may be added, and it be asked again. */
  report(): HistoryReport
}
