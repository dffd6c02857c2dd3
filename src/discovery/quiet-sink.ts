// Who listens may throw. That is its own affair, and must not keep a source from telling the others.
import type { SourceUpdate } from '../core/contracts/source.ts'

/** The sink, with whatever it throws swallowed. */
export function quietSink(sink: (update: SourceUpdate) => void): (update: SourceUpdate) => void {
  return (update) => {
    try {
      sink(update)
    } catch {
      // Its own affair.
    }
  }
}
