// All steps, in order. What was released is never changed; what is new is added at the end.
import type { Migration } from '../../../core/migration.ts'
import { tables } from './001-tables.ts'
import { doneStates } from './002-done-states.ts'

export const MIGRATIONS: readonly Migration[] = [tables, doneStates]
