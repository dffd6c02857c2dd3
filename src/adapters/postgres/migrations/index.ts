// All steps, in order. A new one is added at the end.

import type { Migration } from '../../../core/migration.ts'
import { ground } from './001-ground.ts'
import { messages } from './002-messages.ts'
import { outbox } from './003-outbox.ts'
import { inbox } from './004-inbox.ts'
import { idempotency } from './005-idempotency.ts'
import { states } from './006-states.ts'
import { owner } from './007-owner.ts'
import { steps } from './008-steps.ts'
import { handOver } from './009-hand-over.ts'
import { doneStates } from './010-done-states.ts'

export const MIGRATIONS: readonly Migration[] = Object.freeze([
  ground,
  messages,
  outbox,
  inbox,
  idempotency,
  states,
  owner,
  steps,
  handOver,
  doneStates,
])
