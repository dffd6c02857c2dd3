// What ended a run that was not the invariant: said apart, for the story speaks of it in other words.

/** What `always` said no to. */
export class BrokenAlways {
  readonly error: unknown
  constructor(error: unknown) {
    this.error = error
  }
}

/** A process that ended by itself in a run without faults. */
export class StoppedWithoutFault {
  readonly who: string
  readonly error: unknown
  constructor(who: string, error: unknown) {
    this.who = who
    this.error = error
  }
}

/** The message of what was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
