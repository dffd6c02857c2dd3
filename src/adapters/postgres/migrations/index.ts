// All steps, in order. A new one is added at the end.
import { ground } from './001-ground.ts'
import { messages } from './002-messages.ts'
import type { Migration } from './migration.ts'

export const MIGRATIONS: readonly Migration[] = Object.freeze([ground, messages])
