// A process that has failed: what is not known is found out, and then what was done is undone, the last one first.
import type { Instance } from './instance.ts'
import { keyOf } from './row.ts'

/** What a stuck process is stuck with when undoing is the trouble. */
export function undoOf(key: string): string {
  return `undo ${key}`
}

/**
 * Goes as far as it can now. Nothing is undone while there is a step that may yet turn out to have been done: it would come after it in the order, and to undo what was never done,
 * or is done only later, is no remedy.
 * @returns true once everything is undone
 */
export function undoOn(instance: Instance): boolean {
  const { row, definition } = instance
  if (row.status !== 'undoing') return false
  let waits = false
  for (const [key, sent] of Object.entries(row.steps)) {
    if (sent.is !== 'open' && sent.is !== 'unknown') continue
    const step = definition.steps.get(sent.step)
    if (step?.undo === undefined) {
      // Whatever becomes of it, there is nothing to be done about it.
      delete row.timers[`step:${key}`]
      continue
    }
    waits = true
    if (step.ask !== undefined && sent.asks === 0) instance.ask(key)
    else if (row.timers[`step:${key}`] === undefined && row.stuck === undefined)
      instance.stick(key, `nobody knows whether ${key} was done, so it cannot be undone`)
  }
  if (waits) return false
  for (let last = row.undo.at(-1); last !== undefined; last = row.undo.at(-1)) {
    const undo = definition.steps.get(last.step)?.undo
    if (undo === undefined) {
      instance.stick(
        undoOf(keyOf(last.step, last.of)),
        `version ${definition.version} does not say how ${last.step} is undone`,
      )
      return false
    }
    if (last.failed || last.n !== undefined) return false
    instance.undo(last)
    if (undo.awaited) return false
    row.undo.pop()
  }
  return true
}

/** An answer to what undoes a step. @returns false where nobody waits for one */
export function undone(instance: Instance, step: string, of: string | undefined, why: string | undefined): boolean {
  const { row } = instance
  const last = row.undo.at(-1)
  if (row.status !== 'undoing' || last?.n === undefined || last.step !== step || last.of !== of) return false
  delete row.timers['undo']
  if (why === undefined) {
    row.undo.pop()
    instance.unstick(undoOf(keyOf(step, of)))
  } else {
    last.failed = true
    instance.stick(undoOf(keyOf(step, of)), why)
  }
  return true
}
