// All steps, in order. A new one is added at the end.
import type { Migration } from '../../../core/migration.ts'
import { positions } from './001-positions.ts'
import { outbox } from './002-outbox.ts'
import { inbox } from './003-inbox.ts'
import { states } from './004-states.ts'
import { doneStates } from './005-done-states.ts'

export const MIGRATIONS: readonly Migration[] = Object.freeze([positions, outbox, inbox, states, doneStates])
