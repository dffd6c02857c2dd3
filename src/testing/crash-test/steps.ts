// What can happen at which kind of step.
import type { FaultKind } from './schedule.ts'

/** At any call that leaves a process. */
export const ANYWHERE: readonly FaultKind[] = [
  'crash-before',
  'crash-after',
  'pause-before',
  'pause-after',
  'fail-before',
  'fail-after',
  'clock-forward',
  'clock-back',
]

/** At a step without an effect of its own: before or after makes no difference. */
export const BEFORE: readonly FaultKind[] = [
  'crash-before',
  'pause-before',
  'fail-before',
  'clock-forward',
  'clock-back',
]

/** At what arrives: nobody is there who could be refused. */
export const ARRIVING: readonly FaultKind[] = ['crash-before', 'pause-before', 'twice']

/** At a verdict for the broker: it may be lost though it looked as if it had arrived. */
export const SETTLING: readonly FaultKind[] = [...ANYWHERE, 'lose']

/** At what may be done twice. */
export const TWICE: readonly FaultKind[] = [...ANYWHERE, 'twice']
