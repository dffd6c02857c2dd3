// What was decided of rows, until the store has it for sure.
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'

/** What was decided of rows, on its way to the store. */
export class Verdicts {
  #rows: PendingRow[]
  #verdicts: RowVerdict[]
  #settling: { readonly rows: readonly PendingRow[]; readonly verdicts: readonly RowVerdict[] } | undefined

  constructor() {
    this.#rows = []
    this.#verdicts = []
    this.#settling = undefined
  }

  /** Of rows whose verdict the store does not have for sure yet. */
  get size(): number {
    return this.#rows.length + (this.#settling?.rows.length ?? 0)
  }

  /** Of rows that the store was not told of yet. */
  get ready(): number {
    return this.#rows.length
  }

  add(row: PendingRow, verdict: RowVerdict): void {
    this.#rows.push(row)
    this.#verdicts.push(verdict)
  }

  /** Some to settle now; then `settled` or `failed`. */
  take(most: number): { readonly rows: readonly PendingRow[]; readonly verdicts: readonly RowVerdict[] } {
    const all = this.#rows.length <= most
    const rows = all ? this.#rows : this.#rows.slice(0, most)
    const verdicts = all ? this.#verdicts : this.#verdicts.slice(0, most)
    this.#settling = { rows, verdicts }
    this.#rows = all ? [] : this.#rows.slice(most)
    this.#verdicts = all ? [] : this.#verdicts.slice(most)
    return this.#settling
  }

  /** The store has them. Gives back the rows. */
  settled(): readonly PendingRow[] {
    const rows = this.#settling?.rows ?? []
    this.#settling = undefined
    return rows
  }

  /** They are to be told again. */
  failed(): void {
    if (this.#settling === undefined) return
    const { rows, verdicts } = this.#settling
    this.#rows = [...rows, ...this.#rows]
    this.#verdicts = [...verdicts, ...this.#verdicts]
    this.#settling = undefined
  }

  /** Says something else of the first that is to be told. */
  replaceFirst(verdict: RowVerdict): void {
    this.#verdicts = [verdict, ...this.#verdicts.slice(1)]
  }

  /** Lets go of what was decided of these and is not being told yet. Gives them back. */
  drop(which: (row: PendingRow) => boolean): readonly PendingRow[] {
    const dropped: PendingRow[] = []
    const rows: PendingRow[] = []
    const verdicts: RowVerdict[] = []
    for (const [at, row] of this.#rows.entries()) {
      if (which(row)) dropped.push(row)
      else {
        rows.push(row)
        verdicts.push(this.#verdicts[at] as RowVerdict)
      }
    }
    this.#rows = rows
    this.#verdicts = verdicts
    return dropped
  }
}
