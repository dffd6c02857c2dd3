// One step of the schema. A step that was released is never changed: its checksum is kept beside its number, and a difference is refused.

/** A numbered step. */
export interface Migration {
  /** From 1, without gaps. */
  readonly number: number
  /** `NNN-name`, as the file. */
  readonly name: string
  /**
   * Statements, separated by semicolons. `@schema@` stands for the quoted name of the schema; bodies of functions stand between `$fairlead$`.
   * Nothing that cannot run inside a transaction (`create index concurrently`).
   */
  readonly sql: string
}
