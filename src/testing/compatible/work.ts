// A comparison in progress, and how it is told what was found.
import type { Change, ChangeKind, Incomparable } from './changes.ts'
import type { JsonSchema } from './json-schema.ts'

/**
 * Which of the two is the older. `reader`: an older writer meets a newer reader (a request), so a complaint means that the reader *narrowed*.
 * `writer`: a newer writer meets an older reader (a reply), so it means that the writer *widened*.
 */
export type Newer = 'reader' | 'writer'

/** The comparison in progress. */
export interface Work {
  readonly newer: Newer
  readonly writerRoot: JsonSchema
  readonly readerRoot: JsonSchema
  readonly breaks: Change[]
  readonly notComparable: Incomparable[]
  /** Pairs of references that are being compared: schemas may be recursive. */
  readonly seen: ReadonlySet<string>
  /** Compares what lies inside. */
  readonly subset: (writer: unknown, reader: unknown, path: string, work: Work) => void
}

/** Notes a break. Said from the reader's side; where the writer is the newer one, it is the writer that changed. */
export function complain(work: Work, path: string, kind: ChangeKind, what: string): void {
  work.breaks.push({ path, kind, what })
}

/** Narrowed or widened, by who is the newer. */
export function tighter(work: Work, path: string, reader: string, writer: string): void {
  if (work.newer === 'reader') complain(work, path, 'narrowed', `is ${reader}, was ${writer}`)
  else complain(work, path, 'widened', `is ${writer}, was ${reader}`)
}
